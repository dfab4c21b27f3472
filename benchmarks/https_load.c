// A load of HTTPS GET requests over a few kept-alive connections with one client certificate, as an aggregation
// layer makes it: fast enough that the server, not this, is what is measured.
//
//   https_load PORT CERT KEY CONNECTIONS SECONDS RATE MAX_AGE TARGETS [HEADERS]
//
// PORT        of 127.0.0.1
// RATE        requests a second on a fixed timetable, latency counted from when each was due; 0: closed loop
// MAX_AGE     seconds; an answer with an older "timestamp", or with none, counts as stale; 0: not looked at
// TARGETS     file, one request target a line, asked for in turn
// HEADERS     file, further header lines
//
// One JSON line on stdout: requests, seconds, non_2xx, stale, p50, p99, p999, max (seconds). Exit 1 on a broken
// connection. Build: cc -O2 https_load.c -lssl -lcrypto. It does not check the server's certificate.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { READ_BYTES = 1 << 16, MAX_ANSWER = 64 << 20 };

typedef struct {
    SSL *ssl;
    double due;       // when its request was due or sent
    int busy;
    char *answer;     // what has come so far
    size_t length, room, want; // want: bytes of the whole answer, 0 until the headers are in, SIZE_MAX if chunked
    int status;
} Connection;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a - *(const double *)b;
    return x < 0 ? -1 : x > 0;
}

static char **read_lines(const char *path, long *count) {
    FILE *file = fopen(path, "r");
    if (!file) { perror(path); exit(2); }
    char **lines = NULL, *line = NULL;
    size_t room = 0;
    ssize_t length;
    *count = 0;
    while ((length = getline(&line, &room, file)) > 0) {
        while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) line[--length] = 0;
        if (!length) continue;
        lines = realloc(lines, (*count + 1) * sizeof *lines);
        lines[(*count)++] = strdup(line);
    }
    fclose(file);
    return lines;
}

static void fail(const char *what) {
    fprintf(stderr, "https_load: %s\n", what);
    exit(1);
}

// Whether the answer is complete; learns its length from the headers.
static int complete(Connection *c) {
    if (!c->want) {
        char *end = memmem(c->answer, c->length, "\r\n\r\n", 4);
        if (!end) return 0;
        *end = 0;
        c->status = atoi(c->answer + 9);
        char *field = strcasestr(c->answer, "\r\ncontent-length:");
        c->want = field ? (size_t)(end - c->answer) + 4 + strtoull(field + 17, NULL, 10) : SIZE_MAX;
        *end = '\r';
    }
    if (c->want != SIZE_MAX) return c->length >= c->want;
    return c->length >= 7 && !memcmp(c->answer + c->length - 7, "\r\n0\r\n\r\n", 7);
}

// Takes the chunk sizes out of a chunked body, in place, so that no timestamp is cut in two.
static void dechunk(Connection *c) {
    char *end = c->answer + c->length, *from = memmem(c->answer, c->length, "\r\n\r\n", 4) + 4, *to = from;
    for (;;) {
        char *data = memmem(from, end - from, "\r\n", 2);
        size_t bytes = data ? strtoull(from, NULL, 16) : 0;
        if (!bytes || bytes > (size_t)(end - data - 2)) break;
        memmove(to, data + 2, bytes);
        to += bytes;
        from = data + 2 + bytes + 2;
        if (from >= end) break;
    }
    c->length = to - c->answer;
}

// Every item has a timestamp of its own.
static int is_stale(Connection *c, double max_age) {
    if (max_age <= 0) return 0;
    if (c->want == SIZE_MAX) dechunk(c);
    char *at = c->answer, *end = c->answer + c->length;
    time_t present = time(NULL);
    int seen = 0;
    while ((at = memmem(at, end - at, "\"timestamp\":\"", 13))) {
        struct tm parts = {0};
        at += 13;
        if (!strptime(at, "%Y-%m-%dT%H:%M:%SZ", &parts) || difftime(present, timegm(&parts)) > max_age) return 1;
        seen = 1;
    }
    return !seen;
}

int main(int argc, char **argv) {
    if (argc < 9) { fprintf(stderr, "usage: see the first lines of the source\n"); return 2; }
    int port = atoi(argv[1]), connections = atoi(argv[4]);
    double seconds = atof(argv[5]), rate = atof(argv[6]), max_age = atof(argv[7]);
    long target_count, header_count = 0;
    char **targets = read_lines(argv[8], &target_count), **headers = NULL;
    if (argc > 9) headers = read_lines(argv[9], &header_count);
    if (!target_count || connections < 1 || connections > 1024) fail("no targets, or CONNECTIONS not in [1, 1024]");

    char **requests = malloc(target_count * sizeof *requests);
    for (long i = 0; i < target_count; i++) {
        char *request;
        size_t length;
        FILE *text = open_memstream(&request, &length);
        fprintf(text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: https_load\r\nAccept: application/json\r\n",
                targets[i], port);
        for (long h = 0; h < header_count; h++) fprintf(text, "%s\r\n", headers[h]);
        fprintf(text, "\r\n");
        fclose(text);
        requests[i] = request;
    }

    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_use_certificate_file(tls, argv[2], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, argv[3], SSL_FILETYPE_PEM) != 1)
        fail("the client certificate or key cannot be read");
    Connection *all = calloc(connections, sizeof *all);
    int events = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
        struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
        where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (connect(fd, (void *)&where, sizeof where)) { perror("connect"); return 1; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        all[i].ssl = SSL_new(tls);
        SSL_set_fd(all[i].ssl, fd);
        if (SSL_connect(all[i].ssl) != 1) fail("the TLS handshake failed");
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        all[i].room = READ_BYTES;
        all[i].answer = malloc(all[i].room);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(events, EPOLL_CTL_ADD, fd, &event);
    }

    size_t room = 1 << 16, done = 0;
    double *latencies = malloc(room * sizeof *latencies);
    long sent = 0, non_2xx = 0, stale = 0;
    double start = now(), at;
    int busy = 0;
    while ((at = now()) - start < seconds || busy) {
        int open = at - start < seconds;
        if (!open && at - start > seconds + 30) fail("answers are missing 30 s after the last request");
        for (int i = 0; open && i < connections; i++) {
            double due = rate > 0 ? start + sent / rate : at;
            if (rate > 0 && due > at) break;
            if (all[i].busy) continue;
            all[i].due = due;
            all[i].busy = 1;
            all[i].length = all[i].want = 0;
            busy++;
            char *request = requests[sent++ % target_count];
            if (SSL_write(all[i].ssl, request, strlen(request)) <= 0) fail("a request could not be written");
        }
        struct epoll_event ready[64];
        int count = epoll_wait(events, ready, 64, rate > 0 ? 1 : 100);
        for (int j = 0; j < count; j++) {
            Connection *c = &all[ready[j].data.u32];
            for (;;) {
                if (c->room - c->length < READ_BYTES) {
                    if (c->room > MAX_ANSWER) fail("an answer is too large");
                    c->answer = realloc(c->answer, c->room *= 2);
                }
                int got = SSL_read(c->ssl, c->answer + c->length, c->room - c->length - 1);
                if (got <= 0) {
                    if (SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ) break;
                    fail("the server closed a connection");
                }
                c->length += got;
                c->answer[c->length] = 0;
            }
            if (!c->busy || !complete(c)) continue;
            if (done == room) latencies = realloc(latencies, (room *= 2) * sizeof *latencies);
            latencies[done++] = now() - c->due;
            if (c->status / 100 != 2) non_2xx++;
            else if (is_stale(c, max_age)) stale++;
            c->busy = 0;
            busy--;
        }
    }
    double elapsed = now() - start;
    if (!done) fail("no answer came");
    qsort(latencies, done, sizeof *latencies, ascending);
    printf("{\"requests\":%zu,\"seconds\":%.6f,\"non_2xx\":%ld,\"stale\":%ld,"
           "\"p50\":%.6f,\"p99\":%.6f,\"p999\":%.6f,\"max\":%.6f}\n",
           done, elapsed, non_2xx, stale, latencies[done / 2], latencies[(size_t)(done * 0.99)],
           latencies[(size_t)(done * 0.999)], latencies[done - 1]);
    return 0;
}
