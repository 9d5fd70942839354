// SPDX-License-Identifier: GPL-2.0
/*
 * Events that another thread delivers, see deferred-events.h.
 */
#include "deferred-events.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/zalloc.h>
#include "mutex.h"
#include "ordered-events.h"

/* So many that threads needn't be woken often, and few enough for the caches. */
#define BATCH_EVENTS	1024
#define NR_BATCHES	8

struct deferred_events {
	deferred_events__deliver_t	deliver;
	deferred_events__help_t		help;
	void				*arg;
	/* The batch that events are added to, and in which place. */
	struct ordered_event		*batch;
	struct ordered_event		*next;
	pthread_t			thread;
	bool				started;
	/* For what is below, but for the batches. */
	struct mutex			lock;
	/* Something of it has changed. */
	struct cond			cond;
	/* Batches that were given to the thread, and those that it is done with. */
	unsigned int			nr_given;
	unsigned int			nr_done;
	/* The first error. */
	int				err;
	bool				stop;
	/* The thread's from nr_done on and up to nr_given, which is the one above. */
	struct ordered_event		batches[NR_BATCHES][BATCH_EVENTS];
};

static int deliver_all(const struct deferred_events *de, const struct ordered_event *event,
		       const struct ordered_event *end, int err)
{
	/* Who adds events writes beside these. */
	const deferred_events__deliver_t deliver = de->deliver;
	void *arg = de->arg;

	for (; event < end && !err; event++)
		err = deliver(arg, event);
	return err;
}

/* Go on with the next batch, which has to be free. */
static void start_batch(struct deferred_events *de)
{
	de->batch = de->batches[de->nr_given % NR_BATCHES];
	de->next = de->batch;
}

/* Help, or wait if there was nothing to help with.  Either way things change meanwhile. */
static void deferred_events__idle(struct deferred_events *de, bool *idle)
	EXCLUSIVE_LOCKS_REQUIRED(de->lock)
{
	if (*idle) {
		cond_wait(&de->cond, &de->lock);
		*idle = false;
		return;
	}
	mutex_unlock(&de->lock);
	*idle = !de->help(de->arg);
	mutex_lock(&de->lock);
}

static void *deferred_events__thread(void *arg)
{
	struct deferred_events *de = arg;
	bool idle = false;

	mutex_lock(&de->lock);
	while (!de->stop) {
		int err = de->err;

		if (de->nr_done != de->nr_given) {
			const struct ordered_event *batch = de->batches[de->nr_done % NR_BATCHES];

			mutex_unlock(&de->lock);
			err = deliver_all(de, batch, batch + BATCH_EVENTS, err);
			mutex_lock(&de->lock);
			de->err = err;
			de->nr_done++;
			cond_signal(&de->cond);
			idle = false;
		} else {
			deferred_events__idle(de, &idle);
		}
	}
	mutex_unlock(&de->lock);
	return NULL;
}

/* False if there is no thread: then all is delivered by who adds it. */
static bool deferred_events__start(struct deferred_events *de)
{
	/* Those that a thread gets for what it does itself, for which it can be stopped at once. */
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	sigset_t others, old;

	if (de->started)
		return true;
	/* Other signals are for the thread that knows what to do about them. */
	sigfillset(&others);
	for (unsigned int i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&others, own[i]);
	pthread_sigmask(SIG_SETMASK, &others, &old);
	de->started = !pthread_create(&de->thread, NULL, deferred_events__thread, de);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return de->started;
}

/* Wait until at most @nr batches are given but not done. */
static int deferred_events__wait(struct deferred_events *de, unsigned int nr)
	EXCLUSIVE_LOCKS_REQUIRED(de->lock)
{
	bool idle = false;

	while (de->nr_given - de->nr_done > nr)
		deferred_events__idle(de, &idle);
	return de->err;
}

struct deferred_events *deferred_events__new(deferred_events__deliver_t deliver,
					     deferred_events__help_t help, void *arg)
{
	struct deferred_events *de = zalloc(sizeof(*de));

	if (!de)
		return NULL;

	de->deliver = deliver;
	de->help = help;
	de->arg = arg;
	start_batch(de);
	mutex_init(&de->lock);
	cond_init(&de->cond);
	return de;
}

void deferred_events__delete(struct deferred_events *de)
{
	if (!de)
		return;
	if (de->started) {
		mutex_lock(&de->lock);
		de->stop = true;
		cond_signal(&de->cond);
		mutex_unlock(&de->lock);
		pthread_join(de->thread, NULL);
	}
	mutex_destroy(&de->lock);
	cond_destroy(&de->cond);
	free(de);
}

int deferred_events__sync(struct deferred_events *de)
{
	int err;

	mutex_lock(&de->lock);
	err = deferred_events__wait(de, 0);
	mutex_unlock(&de->lock);

	/* Too few to wake the thread for, which has nothing to do now. */
	if (de->next > de->batch) {
		err = deliver_all(de, de->batch, de->next, err);
		de->next = de->batch;
		mutex_lock(&de->lock);
		de->err = err;
		mutex_unlock(&de->lock);
	}
	return err;
}

static noinline int hand_over(struct deferred_events *de)
{
	int err;

	if (!deferred_events__start(de))
		return deferred_events__sync(de);

	mutex_lock(&de->lock);
	de->nr_given++;
	cond_signal(&de->cond);
	err = deferred_events__wait(de, NR_BATCHES - 1);
	mutex_unlock(&de->lock);
	start_batch(de);
	return err;
}

int deferred_events__add(struct deferred_events *de, const struct ordered_event *event)
{
	*de->next++ = *event;
	return de->next < de->batch + BATCH_EVENTS ? 0 : hand_over(de);
}
