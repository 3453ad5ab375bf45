/* The least that any program can do that keeps something for later: a file
 * written whole under a name in tmp/, flushed, moved to pending/, and both
 * directories flushed. What an enqueue's own cost is measured against. Built
 * static, with -O2.
 *
 *     enqueue DIRECTORY BYTES
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    char name[64];
    int dir, tmp, pending, file;
    size_t len;
    char *bytes;

    if (argc != 3)
        return 125;
    len = strtoul(argv[2], 0, 10);
    bytes = calloc(1, len);
    dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tmp = openat(dir, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pending = openat(dir, "pending", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bytes == 0 || dir < 0 || tmp < 0 || pending < 0)
        return 125;
    clock_gettime(CLOCK_REALTIME, &now);
    /* As long as a job's id. */
    snprintf(name, sizeof name, "%010llu%09lu%07u", (unsigned long long)now.tv_sec,
             (unsigned long)now.tv_nsec, (unsigned)getpid() % 10000000);
    file = openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || write(file, bytes, len) != (ssize_t)len || fsync(file) != 0)
        return 125;
    if (renameat(tmp, name, pending, name) != 0 || fsync(pending) != 0 || fsync(tmp) != 0)
        return 125;
    puts(name);
    return 0;
}
