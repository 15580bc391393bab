/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernels.h"

#include <sched.h>
#include <stdatomic.h>

/* How often a thread looks for work before it sleeps: some ten microseconds,
 * less than a layer takes, so that a decoder beside us loses nothing. */
#define SPINS 1000
#define MAX_THREADS 1024

#if defined (__x86_64__)
# define PAUSE() __builtin_ia32_pause ()
#else
# define PAUSE() __asm__ __volatile__ ("" ::: "memory")
#endif

/* A job is one word, so that a late worker can never take a task of one job
 * and run it with the function of another: generation (32 bits), number of
 * tasks (16), next task (16). */
typedef guint64 Job;
#define JOB(generation, n_tasks) \
    ((Job) (generation) << 32 | (Job) (n_tasks) << 16)
#define JOB_N_TASKS(job) ((gint) ((job) >> 16 & 0xffff))
#define JOB_NEXT(job) ((gint) ((job) & 0xffff))
#define MAX_TASKS 0xffff

struct _CiPool
{
  gint n_threads;
  GThread **threads;            /* n_threads - 1 */

  CiPoolFunc func;
  gpointer data;
  _Atomic Job job;
  atomic_int n_done;

  GMutex lock;
  GCond wake, done;
  atomic_int n_sleeping, caller_sleeps;
  atomic_int quit;
  guint32 generation;           /* of the caller */
};

/* Runs what is left of the current job. */
static void
work (CiPool * pool)
{
  Job job = atomic_load (&pool->job);

  while (JOB_NEXT (job) < JOB_N_TASKS (job)) {
    gint n = JOB_N_TASKS (job);

    if (!atomic_compare_exchange_weak (&pool->job, &job, job + 1))
      continue;
    pool->func (pool->data, JOB_NEXT (job), n);
    if (atomic_fetch_add (&pool->n_done, 1) + 1 == n
        && atomic_load (&pool->caller_sleeps)) {
      g_mutex_lock (&pool->lock);
      g_cond_signal (&pool->done);
      g_mutex_unlock (&pool->lock);
    }
    job = atomic_load (&pool->job);
  }
}

static gboolean
idle (CiPool * pool)
{
  Job job = atomic_load (&pool->job);

  return JOB_NEXT (job) >= JOB_N_TASKS (job) && !atomic_load (&pool->quit);
}

static gpointer
worker (gpointer user_data)
{
  CiPool *pool = user_data;

  while (!atomic_load (&pool->quit)) {
    for (gint i = 0; i < SPINS && idle (pool); i++)
      PAUSE ();
    if (idle (pool)) {
      g_mutex_lock (&pool->lock);
      atomic_fetch_add (&pool->n_sleeping, 1);
      while (idle (pool))
        g_cond_wait (&pool->wake, &pool->lock);
      atomic_fetch_sub (&pool->n_sleeping, 1);
      g_mutex_unlock (&pool->lock);
    }
    work (pool);
  }
  return NULL;
}

static gint
n_usable_cpus (void)
{
  cpu_set_t set;

  if (sched_getaffinity (0, sizeof (set), &set) == 0)
    return MAX (1, CPU_COUNT (&set));
  return g_get_num_processors ();
}

CiPool *
ci_pool_new (gint n_threads)
{
  CiPool *pool = g_new0 (CiPool, 1);
  gint wanted = MIN (n_threads > 0 ? n_threads : n_usable_cpus (),
      MAX_THREADS);

  g_mutex_init (&pool->lock);
  g_cond_init (&pool->wake);
  g_cond_init (&pool->done);
  pool->threads = g_new0 (GThread *, wanted);
  pool->n_threads = 1;
  for (gint i = 1; i < wanted; i++) {
    GThread *thread = g_thread_try_new ("condinst", worker, pool, NULL);

    /* fewer threads are slower, not wrong */
    if (!thread)
      break;
    pool->threads[i - 1] = thread;
    pool->n_threads++;
  }
  return pool;
}

void
ci_pool_free (CiPool * pool)
{
  if (!pool)
    return;
  g_mutex_lock (&pool->lock);
  atomic_store (&pool->quit, 1);
  g_cond_broadcast (&pool->wake);
  g_mutex_unlock (&pool->lock);
  for (gint i = 0; i + 1 < pool->n_threads; i++)
    g_thread_join (pool->threads[i]);
  g_free (pool->threads);
  g_mutex_clear (&pool->lock);
  g_cond_clear (&pool->wake);
  g_cond_clear (&pool->done);
  g_free (pool);
}

gint
ci_pool_get_n_threads (const CiPool * pool)
{
  return pool ? pool->n_threads : 1;
}

void
ci_pool_run (CiPool * pool, CiPoolFunc func, gpointer data, gint n_tasks)
{
  if (!pool || pool->n_threads == 1 || n_tasks <= 1 || n_tasks > MAX_TASKS) {
    for (gint i = 0; i < n_tasks; i++)
      func (data, i, n_tasks);
    return;
  }
  pool->func = func;
  pool->data = data;
  atomic_store (&pool->n_done, 0);
  atomic_store (&pool->job, JOB (++pool->generation, n_tasks));
  if (atomic_load (&pool->n_sleeping)) {
    g_mutex_lock (&pool->lock);
    g_cond_broadcast (&pool->wake);
    g_mutex_unlock (&pool->lock);
  }

  work (pool);
  for (gint i = 0; i < SPINS && atomic_load (&pool->n_done) < n_tasks; i++)
    PAUSE ();
  if (atomic_load (&pool->n_done) < n_tasks) {
    g_mutex_lock (&pool->lock);
    atomic_store (&pool->caller_sleeps, 1);
    while (atomic_load (&pool->n_done) < n_tasks)
      g_cond_wait (&pool->done, &pool->lock);
    atomic_store (&pool->caller_sleeps, 0);
    g_mutex_unlock (&pool->lock);
  }
}
