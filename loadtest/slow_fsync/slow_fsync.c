/* Makes every fsync and fdatasync take longer, as on a disk that has to write: preload it into PostgreSQL
 * whose files lie on tmpfs, and commits cost what they cost on a real disk, the same on every machine.
 * sync_file_range is left alone: PostgreSQL uses it as a hint and waits for nothing.
 *
 * SLOW_FSYNC_US: microseconds to add, 1000 where it is not set.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

typedef int (*sync_function)(int);

static sync_function real_fsync;
static sync_function real_fdatasync;
static struct timespec delay = {0, 1000 * 1000};

__attribute__((constructor)) static void read_delay(void)
{
    const char *text = getenv("SLOW_FSYNC_US");
    if (text != NULL && *text != '\0') {
        long microseconds = strtol(text, NULL, 10);
        if (microseconds >= 0) {
            delay.tv_sec = microseconds / 1000000;
            delay.tv_nsec = microseconds % 1000000 * 1000;
        }
    }
    real_fsync = (sync_function)dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (sync_function)dlsym(RTLD_NEXT, "fdatasync");
}

/* Sleeps the whole delay, through signals: PostgreSQL's processes get many. errno is left as it was. */
static void wait_delay(void)
{
    int before = errno;
    struct timespec left = delay;
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    errno = before;
}

int fsync(int fd)
{
    wait_delay();
    return real_fsync(fd);
}

int fdatasync(int fd)
{
    wait_delay();
    return real_fdatasync(fd);
}
