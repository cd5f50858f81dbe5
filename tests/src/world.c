/* Comes before the C library: a clock of day that is shifted, and names that cannot be resolved, as
 * a file says that a test writes. Monotonic clocks are left alone, as by a real change of the time. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000L
#define SLICE_NS 20000000L

struct world {
    int64_t clock_shift_s;
    int64_t names_fail;
};

static const volatile struct world *world;

__attribute__((constructor)) static void open_world(void) {
    int file = open(getenv("TESTS_WORLD"), O_RDONLY | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof(struct world), PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    world = mapped;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && world && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += world->clock_shift_s;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* A wait until a time of day ends when the shifted clock says so, wherever it was shifted meanwhile. */
typedef int wait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *end) {
    wait *real = (wait *)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    for (;;) {
        struct timespec now, slice;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t left_ns = (int64_t)(end->tv_sec - now.tv_sec) * SECOND_NS + end->tv_nsec - now.tv_nsec;
        if (left_ns <= 0) return ETIMEDOUT;
        syscall(SYS_clock_gettime, CLOCK_REALTIME, &slice);
        slice.tv_nsec += left_ns < SLICE_NS ? left_ns : SLICE_NS;
        slice.tv_sec += slice.tv_nsec / SECOND_NS;
        slice.tv_nsec %= SECOND_NS;
        int result = real(condition, mutex, &slice);
        if (result != ETIMEDOUT) return result;
    }
}

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    struct in6_addr address;
    int is_name = node && !inet_pton(AF_INET, node, &address) && !inet_pton(AF_INET6, node, &address);
    if (is_name && world && world->names_fail) return EAI_AGAIN;
    return ((lookup *)dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, found);
}
