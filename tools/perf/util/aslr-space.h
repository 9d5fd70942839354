/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __PERF_ASLR_SPACE_H
#define __PERF_ASLR_SPACE_H

#include <stdbool.h>
#include <linux/types.h>

/*
 * Address spaces of a profile and where their addresses go.
 *
 * A space is one process' user addresses, or one machine's kernel, hypervisor
 * or physical addresses.  It knows the mappings that the profile recorded, as
 * ranges of original addresses, and gives each an image: the range of new
 * addresses that stands for it.
 *
 * What holds at any time within one space:
 *  - equal addresses have equal images, distinct ones have distinct images;
 *  - the offset in a range is the offset in its image, and the offset in a page
 *    is always kept;
 *  - ranges of one program that touch have images that touch where there is room, and
 *    the images of all others are a page or more apart (holes of some pages stay,
 *    so that who fills them touches both sides);
 *  - cutting a range in pieces moves none of them, and neither does fork;
 *  - an address outside every range has an image on a page of its own, in a
 *    region where no range has its image;
 *  - 0 stays 0 and nothing else becomes 0; addresses below 4 GiB stay below it
 *    as long as there is room, and the two halves of the 64-bit space stay
 *    apart.
 *
 * Images are given out in order of first use, so that they say nothing about
 * the original, and lie where no architecture maps anything at random.  It is
 * a function of the calls alone: nothing of this machine has a part in it.
 *
 * There is no notion of a task, a record or a symbol: see aslr-spaces.h for who
 * lives in which space.  Nothing here takes a lock; one thread at a time may
 * use the spaces that share what is known.
 *
 * Bounds: ranges are given by their first and their last address, inclusive, so
 * that one may end at the very top.
 */

struct aslr_space;
struct aslr_known;

/* What a space holds, which decides where its images lie. */
enum aslr_space_type {
	ASLR_SPACE__USER,
	ASLR_SPACE__KERNEL,
	ASLR_SPACE__GUEST_KERNEL,
	ASLR_SPACE__PHYS,
};

/*
 * What spaces share: which pages below 4 GiB and which terabytes above any of them
 * had.  Returns NULL when out of memory; it has to outlive its spaces.
 */
struct aslr_known *aslr_known__new(void);
void aslr_known__delete(struct aslr_known *known);

/*
 * Did a space, which may be gone, ever have a range on the page of @addr, or an
 * image for an address on it?  From 4 GiB on the answer is yes for all of a
 * terabyte that any had something in, or in which programs, libraries and stacks
 * usually are, and always from 256 TiB on.
 */
bool aslr_known__has(const struct aslr_known *known, u64 addr);

/* Records were lost: of what comes nobody knows whether it is all. */
void aslr_known__lose(struct aslr_known *known);

/* An empty space. NULL when out of memory. */
struct aslr_space *aslr_space__new(enum aslr_space_type type, struct aslr_known *known);

/*
 * What fork() makes of @parent: a space with the same ranges at the same
 * images.  Either can change later without the other noticing.  Pages outside
 * of ranges are not inherited.  NULL when out of memory.
 */
struct aslr_space *aslr_space__fork(const struct aslr_space *parent);

void aslr_space__delete(struct aslr_space *space);

/*
 * Make [@start, @last] a range, laid over whatever was there: what it overlaps
 * is cut or goes.  Its image stays where that of an overlapped or adjacent
 * range of the same program has it if there is room.  Returns 0 and the image of
 * @start in *@image, -ENOMEM, -EINVAL for @last < @start, or -ENOSPC when there
 * is no room for the image; what it overlaps is gone then, too.  The page that is
 * at the same place everywhere ([vsyscall]) stays where it is and is no range.
 */
int aslr_space__add(struct aslr_space *space, u64 start, u64 last, u64 *image);

/* Where a recorded map of the kernel's text goes: see aslr_space__add_text(). */
struct aslr_text {
	u64	start;	/* new start of the map, 0 if it was 0 */
	u64	len;	/* its new length in bytes */
};

/*
 * Add the map of a kernel's text, @len bytes from @start, with a symbol at @ref
 * (0: unknown), and tell in @text what to record instead of @start and @len.
 *
 * Recorders that don't know where the text ends let the map end where the next
 * one begins or at the end of the address space, and some let it begin at 0:
 * there the length tells as much as the address.  Such a map (its size is more
 * than any kernel's, or its end is on a page boundary where modules are) gets a
 * length that is always the same, room for the text in its first half and for the
 * pages of other addresses in that map, which have no symbols, in its second.
 *
 * Ranges that are there already stay.  A space has one text, later ones change
 * nothing and get its length.  Errors as of aslr_space__add().
 */
int aslr_space__add_text(struct aslr_space *space, u64 start, u64 len, u64 ref,
			 struct aslr_text *text);

/*
 * Add the code of @len bytes at @addr that a kernel symbol brings (BPF, an out
 * of line probe).  In a range it stays a part of that; elsewhere it becomes a
 * range.  Returns the image of @addr in *@image, errors as aslr_space__add().
 */
int aslr_space__add_symbol(struct aslr_space *space, u64 addr, u64 len, u64 *image);

/*
 * The symbol's code is gone: what is at @addr next is something else.  Does
 * nothing in the kernel's text, and if a range doesn't hold all @len bytes.  0 or
 * -ENOMEM.
 */
int aslr_space__remove_symbol(struct aslr_space *space, u64 addr, u64 len);

/* Is @addr in a range? */
bool aslr_space__contains(const struct aslr_space *space, u64 addr);

/*
 * Has an address on the page of @addr, which is in no range, an image, other than
 * by aslr_space__translate_unsure()?
 */
bool aslr_space__has_page(const struct aslr_space *space, u64 addr);

/*
 * Was any range, or a page of aslr_space__has_page(), ever in the same terabyte as
 * @addr?  Of what is in none the other two needn't be asked.  Always true from 128
 * TiB on, where programs, libraries and stacks usually are if user space ends there,
 * in a space that has no range, and in one of a process of which it isn't sure which
 * program it runs: from exec on until a file is mapped, or as records were lost.
 */
bool aslr_space__is_near(const struct aslr_space *space, u64 addr);

/* Is every mapping that was added since the last exec below 4 GiB, as in a 32-bit task? */
bool aslr_space__is_narrow(const struct aslr_space *space);

/* The same, or may it be so, as it isn't sure which program the process runs? */
bool aslr_space__may_be_narrow(const struct aslr_space *space);

/*
 * Where numbers below 4 GiB may be addresses, of processes with 32 bits among others:
 * what is less are often sizes and flags.  The end is exclusive.
 */
#define ASLR_NARROW_START	(16ULL << 20)
#define ASLR_NARROW_END		0xfffff000ULL

/*
 * A file is mapped up to @last, inclusive, by who calls aslr_space__add() next.  The
 * first one since the last exec is the program, but that records may be lost.
 */
void aslr_space__set_file(struct aslr_space *space, u64 last);

/*
 * May the heap be at @addr, of a program at a fixed address below 4 GiB?  It begins
 * up to 1 GiB behind the program, and no mapping tells where.  If it isn't sure
 * which program that is, it may be anywhere from ASLR_NARROW_START on.  Else always
 * false if the program isn't below 4 GiB, or, unless records were lost, nothing is
 * above.
 */
bool aslr_space__may_be_heap(const struct aslr_space *space, u64 addr);

/* brk() returned @addr: the heap reaches at least up to there. */
void aslr_space__set_brk(struct aslr_space *space, u64 addr);

/* Another program runs. The ranges of the old one stay until others are laid over them. */
void aslr_space__exec(struct aslr_space *space);

/*
 * The image of @addr in *@image, whatever the address is; this is the hot path.
 * 0, -ENOMEM, or -ENOSPC when there is no page left for an address outside of
 * every range; *@image is 0 then.
 */
int aslr_space__translate(struct aslr_space *space, u64 addr, u64 *image);

/*
 * The same for the call chain entries that @addrs begins with, up to @nr, that are 0
 * or in the first one's half of the 64-bit space and no markers.  Their images go to
 * @images, and *@nr_changed grows by how many are other than the address.  Returns how
 * many that are, at least 1 as @nr is and the first one is no marker, or an error.
 */
s64 aslr_space__translate_all(struct aslr_space *space, const u64 *addrs, u64 nr, u64 *images,
			      u64 *nr_changed);

/*
 * The same for what may be a number as well: its page is none of which others can
 * be told to be addresses.
 */
int aslr_space__translate_unsure(struct aslr_space *space, u64 addr, u64 *image);

/* Pages outside of ranges that have an image. */
unsigned long aslr_space__nr_pages(const struct aslr_space *space);

/* Ranges, touching ones with touching images counted as one. */
unsigned long aslr_space__nr_ranges(const struct aslr_space *space);

#endif /* __PERF_ASLR_SPACE_H */
