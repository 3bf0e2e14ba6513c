/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * List: doubly linked, through the things that are in it. A head is a link of its own; one that is in no list points to
 * itself, so that taking it out again is harmless.
 */
#ifndef SEGFARM_DISPATCHER_LIST_H
#define SEGFARM_DISPATCHER_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list {
	struct list *prev, *next;
};

/* What the link belongs to. */
#define LIST_OF(link, type, member) ((type *)((uintptr_t)(link) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* Whether a link is in a list. */
static inline bool list_is_linked(const struct list *link)
{
	return link->next != link;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Before `at`: of a head, that is the end. The link must be in no list. */
static inline void list_insert(struct list *at, struct list *link)
{
	link->prev = at->prev;
	link->next = at;
	at->prev->next = link;
	at->prev = link;
}

static inline void list_append(struct list *head, struct list *link)
{
	list_insert(head, link);
}

static inline void list_prepend(struct list *head, struct list *link)
{
	list_insert(head->next, link);
}

#endif
