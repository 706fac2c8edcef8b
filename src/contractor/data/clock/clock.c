/* The date, made another one for the programs of a system tree: named in its /etc/ld.so.preload by `contractor verify`.
 *
 * Only what is asked of the C library's clock of the day is later, by OFFSET seconds. Clocks that only run (monotonic),
 * files' times and programs without a C library's loader have the kernel's. What waits until a time of the day is told
 * the true one, or it would wait for a year. It needs no C library, so it fits every tree of its architecture; made by
 * ./make.sh.
 */
#include <stddef.h>

#define OFFSET (398L * 86400 + 6 * 3600 + 28 * 60 + 32) /* another year, month, day, weekday, hour, minute, second */
#define REALTIME 0
#define REALTIME_COARSE 5
#define TAI 11
#define EXPORTED __attribute__((visibility("default")))

struct timespec { long sec, nsec; };
struct timeval { long sec, usec; };

extern void *dlsym(void *, const char *) __attribute__((weak));
extern void *dlvsym(void *, const char *, const char *) __attribute__((weak));
extern int *__errno_location(void) __attribute__((weak));

#if defined(__x86_64__)
#define NR_CLOCK_GETTIME 228
#define NR_CLOCK_NANOSLEEP 230
#define CONDITIONS "GLIBC_2.3.2" /* the version of the condition variables that programs use */
static long call4(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
#define NR_CLOCK_GETTIME 113
#define NR_CLOCK_NANOSLEEP 115
#define CONDITIONS "GLIBC_2.17"
static long call4(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#endif

static long true_time(struct timespec *now)
{
    return call4(NR_CLOCK_GETTIME, REALTIME, (long)now, 0, 0);
}

EXPORTED int clock_gettime(int clock, struct timespec *now)
{
    long result = call4(NR_CLOCK_GETTIME, clock, (long)now, 0, 0);
    if (result < 0) {
        if (__errno_location)
            *__errno_location() = -result;
        return -1;
    }
    if (clock == REALTIME || clock == REALTIME_COARSE || clock == TAI)
        now->sec += OFFSET;
    return 0;
}

EXPORTED int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec found;
    if (zone)
        ((int *)zone)[0] = ((int *)zone)[1] = 0;
    if (!now)
        return 0;
    true_time(&found);
    now->sec = found.sec + OFFSET;
    now->usec = found.nsec / 1000;
    return 0;
}

EXPORTED long time(long *place)
{
    struct timespec found;
    call4(NR_CLOCK_GETTIME, REALTIME_COARSE, (long)&found, 0, 0);
    found.sec += OFFSET;
    if (place)
        *place = found.sec;
    return found.sec;
}

EXPORTED int timespec_get(struct timespec *now, int base)
{
    return base == 1 && clock_gettime(REALTIME, now) == 0 ? base : 0;
}

/* The true time of a deadline. One of a running clock is less than any of the clock of the day, and stays. */
static const struct timespec *truly(const struct timespec *until, struct timespec *place)
{
    struct timespec now;
    true_time(&now);
    if (!until || until->sec < now.sec + OFFSET / 2)
        return until;
    place->sec = until->sec - OFFSET;
    place->nsec = until->nsec;
    return place;
}

static void *next(const char *name, const char *version)
{
    void *found = version && dlvsym ? dlvsym((void *)-1L, name, version) : NULL;
    return found || !dlsym ? found : dlsym((void *)-1L, name);
}

#define ENOSYS 38

EXPORTED int pthread_cond_timedwait(void *condition, void *mutex, const struct timespec *until)
{
    struct timespec place;
    int (*real)(void *, void *, const struct timespec *) = next("pthread_cond_timedwait", CONDITIONS);
    return real ? real(condition, mutex, truly(until, &place)) : ENOSYS;
}

EXPORTED int pthread_cond_clockwait(void *condition, void *mutex, int clock, const struct timespec *until)
{
    struct timespec place;
    int (*real)(void *, void *, int, const struct timespec *) = next("pthread_cond_clockwait", NULL);
    return real ? real(condition, mutex, clock, truly(until, &place)) : ENOSYS;
}

EXPORTED int pthread_mutex_timedlock(void *mutex, const struct timespec *until)
{
    struct timespec place;
    int (*real)(void *, const struct timespec *) = next("pthread_mutex_timedlock", NULL);
    return real ? real(mutex, truly(until, &place)) : ENOSYS;
}

EXPORTED int sem_timedwait(void *semaphore, const struct timespec *until)
{
    struct timespec place;
    int (*real)(void *, const struct timespec *) = next("sem_timedwait", NULL);
    return real ? real(semaphore, truly(until, &place)) : -1;
}

EXPORTED int sem_clockwait(void *semaphore, int clock, const struct timespec *until)
{
    struct timespec place;
    int (*real)(void *, int, const struct timespec *) = next("sem_clockwait", NULL);
    return real ? real(semaphore, clock, truly(until, &place)) : -1;
}

EXPORTED int clock_nanosleep(int clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec place;
    const struct timespec *wanted = flags ? truly(until, &place) : until;
    return -call4(NR_CLOCK_NANOSLEEP, clock, flags, (long)wanted, (long)left);
}
