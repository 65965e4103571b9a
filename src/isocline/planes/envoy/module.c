/* Load-balancing policy for Envoy: the backend with the least price of one more request.
 *
 * Envoy loads this as a dynamic module (envoy.load_balancing_policies.dynamic_modules) and asks it
 * for a host with each request. Prices are those of a mapped file that Python writes; its layout,
 * and how one reads while the other writes, are described in price_table.py. The workload of a
 * backend is Envoy's own count of its active requests, in all clusters of this module that use the
 * same table, those that this thread has sent and that still wait for a connection, and a correction
 * from the table for what others send. Where a table cannot be used, the host with the fewest
 * requests is picked, and the log says why, once.
 *
 * Envoy has one `picker` for each cluster and thread. Nothing is shared between threads but what
 * was said in the log, and nothing is allocated but when hosts or tables change.
 *
 * Configuration, lines of KEY=VALUE: `table`, the path of the file; `frontend`, its name there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Envoy: the functions used, alike in the versions that module_build.py lists ------------- */

#ifndef ISOCLINE_ENVOY_ABI
#error "ISOCLINE_ENVOY_ABI: the version string of Envoy's ABI; module_build.py defines it"
#endif

struct text { /* not ended by a zero byte */
  const char *start;
  size_t length;
};
enum { LOG_INFO = 2, LOG_WARNING = 3, LOG_ERROR = 4 };
enum { STAT_ALL_REQUESTS = 5, STAT_ACTIVE_REQUESTS = 7 };

/* Indices of hosts count all hosts of a priority, except where the name says healthy. */
void envoy_dynamic_module_callback_log(int level, struct text message);
size_t envoy_dynamic_module_callback_lb_get_priority_set_size(void *lb);
size_t envoy_dynamic_module_callback_lb_get_hosts_count(void *lb, uint32_t priority);
size_t envoy_dynamic_module_callback_lb_get_healthy_hosts_count(void *lb, uint32_t priority);
bool envoy_dynamic_module_callback_lb_get_host_address(void *lb, uint32_t priority, size_t index,
                                                       struct text *result);
bool envoy_dynamic_module_callback_lb_get_healthy_host_address(void *lb, uint32_t priority,
                                                               size_t index, struct text *result);
bool envoy_dynamic_module_callback_lb_get_host_metadata_string(void *lb, uint32_t priority,
                                                               size_t index, struct text filter,
                                                               struct text key,
                                                               struct text *result);
uint64_t envoy_dynamic_module_callback_lb_get_host_stat(void *lb, uint32_t priority, size_t index,
                                                        int stat);
bool envoy_dynamic_module_callback_lb_context_should_select_another_host(void *lb, void *context,
                                                                         uint32_t priority,
                                                                         size_t index);

/* ---- The price table ------------------------------------------------------------------------- */

struct header { /* as in price_table.py */
  char magic[8];
  uint32_t version, crc;
  uint64_t size, identity;
  uint32_t frontends, backends, tables, columns;
  uint64_t stale_after, names_size;
  _Atomic uint64_t sequence;
  _Atomic int64_t heartbeat;
  _Atomic uint64_t replaced;
  char reserved[40];
};
_Static_assert(sizeof(struct header) == 128, "the header has 128 bytes");
_Static_assert(sizeof(double) == 8, "prices have 8 bytes");

struct slot { /* one of the two tables of a file: F frontends, B backends, T tables, K workloads */
  const uint8_t *allowed; /* (F, B) */
  const double *delays;   /* (F, B) */
  const double *prices;   /* (T, B, K) */
};

struct name { /* of a backend, or its address */
  struct text text;
  bool is_address;
  uint32_t row; /* of the backend */
};

struct table {
  const struct header *header; /* start of the mapping; NULL where there is none */
  size_t size;
  size_t frontend;
  const int64_t *corrections; /* (B,) */
  struct slot slots[2];
  struct name *names; /* sorted */
  size_t names_count;
};

static uint32_t crc32_of(uint32_t crc, const uint8_t *bytes, size_t count) {
  crc = ~crc;
  for (size_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ (0xEDB88320u & -(crc & 1u));
  }
  return ~crc;
}

static size_t aligned(size_t size) { return (size + 63) / 64 * 64; }

static int compare_names(const void *one, const void *other) {
  const struct name *a = one, *b = other;
  if (a->is_address != b->is_address)
    return a->is_address ? 1 : -1;
  size_t shorter = a->text.length < b->text.length ? a->text.length : b->text.length;
  int order = memcmp(a->text.start, b->text.start, shorter);
  if (order != 0)
    return order;
  return (a->text.length > b->text.length) - (a->text.length < b->text.length);
}

/* Row of a backend by its name or address; -1 if the table has none such. */
static int32_t row_of(const struct table *table, struct text text, bool is_address) {
  struct name wanted = {.text = text, .is_address = is_address};
  const struct name *found = bsearch(&wanted, table->names, table->names_count,
                                     sizeof(struct name), compare_names);
  return found == NULL ? -1 : (int32_t)found->row;
}

/* The next of the names, which end with a zero byte each; an empty one after the last. */
static struct text next_name(const char **at, const char *end) {
  struct text name = {*at, strnlen(*at, (size_t)(end - *at))};
  *at += name.length + (*at + name.length < end);
  return name;
}

/* Find the frontend, and sort the names and addresses of backends. */
static const char *read_names(struct table *table, const char *frontend) {
  const struct header *header = table->header;
  const char *at = (const char *)(header + 1), *end = at + header->names_size;
  size_t count = 0; /* of zero bytes: at least as many as names */
  for (const char *byte = at; byte < end; byte++)
    count += *byte == '\0';
  table->names = calloc(count + 1, sizeof(struct name));
  if (table->names == NULL)
    return "takes more memory than there is";
  table->frontend = SIZE_MAX;
  for (uint32_t i = 0; i < header->frontends; i++) {
    struct text name = next_name(&at, end);
    if (name.length == strlen(frontend) && memcmp(name.start, frontend, name.length) == 0)
      table->frontend = i;
  }
  for (uint32_t row = 0; row < header->backends; row++) {
    bool is_address = false;
    for (struct text name = next_name(&at, end); name.length > 0; name = next_name(&at, end)) {
      table->names[table->names_count++] = (struct name){name, is_address, row};
      is_address = true;
    }
  }
  qsort(table->names, table->names_count, sizeof(struct name), compare_names);
  return table->frontend == SIZE_MAX ? "has no such frontend" : NULL;
}

/* Check a mapped file, and find its parts; in words why it cannot be used, or NULL. */
static const char *read_layout(struct table *table) {
  const struct header *header = table->header;
  if (table->size < 8 || memcmp(header->magic, "isoprice", 8) != 0)
    return "is no price table";
  if (table->size < sizeof(struct header))
    return "is cut short";
  if (header->version != 1)
    return "is of another version: use one version of isocline for both";
  if (header->size != table->size)
    return "is cut short";
  size_t edges = (size_t)header->frontends * header->backends;
  size_t entries = (size_t)header->tables * header->backends * header->columns;
  if (edges == 0 || entries == 0 || header->names_size > table->size || edges > table->size ||
      entries > table->size || (header->tables != 1 && header->tables != header->frontends))
    return "is damaged";
  size_t corrections = aligned(sizeof(struct header) + header->names_size);
  size_t first = aligned(corrections + 8 * (size_t)header->backends);
  size_t delays = aligned(edges), prices = delays + aligned(8 * edges);
  size_t slot_size = prices + aligned(8 * entries);
  const uint8_t *start = (const uint8_t *)header;
  if (first + 2 * slot_size != table->size ||
      crc32_of(crc32_of(0, start + 16, 48), start + sizeof(struct header), header->names_size) !=
          header->crc)
    return "is damaged";
  table->corrections = (const int64_t *)(start + corrections);
  for (int i = 0; i < 2; i++) {
    const uint8_t *slot = start + first + (size_t)i * slot_size;
    table->slots[i] = (struct slot){slot, (const double *)(slot + delays),
                                    (const double *)(slot + prices)};
  }
  return NULL;
}

static void close_table(struct table *table) {
  if (table->header != NULL)
    munmap((void *)table->header, table->size);
  free(table->names);
  *table = (struct table){0};
}

/* Map a file; in words why it cannot be used, or NULL. */
static const char *open_table(struct table *table, const char *path, const char *frontend) {
  *table = (struct table){0};
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return errno == ENOENT ? "is not there" : "cannot be opened";
  struct stat status;
  void *start = MAP_FAILED;
  if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
    start = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (start == MAP_FAILED)
    return "is no price table";
  table->header = start;
  table->size = (size_t)status.st_size;
  const char *reason = read_layout(table);
  if (reason == NULL)
    reason = read_names(table, frontend);
  if (reason != NULL)
    close_table(table);
  return reason;
}

static int64_t now_ns(void) {
  struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
#else
  clock_gettime(CLOCK_MONOTONIC, &now);
#endif
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* In words why a table that is open cannot be used now, or NULL. */
static const char *unusable(const struct header *header, int64_t now) {
  if (atomic_load_explicit(&header->replaced, memory_order_relaxed) != 0)
    return "has been replaced";
  if (atomic_load_explicit(&header->sequence, memory_order_relaxed) < 2)
    return "holds no prices yet";
  int64_t heartbeat = atomic_load_explicit(&header->heartbeat, memory_order_relaxed);
  if (header->stale_after != 0 && now - heartbeat > (int64_t)header->stale_after)
    return "is stale: its writer gives no sign of life";
  return NULL;
}

/* ---- Ties: xoroshiro128++ (Blackman and Vigna, ACM TOMS 47(4), 2021), as in randomness/draws.py */

static uint64_t rotated(uint64_t bits, int by) { return (bits << by) | (bits >> (64 - by)); }

static uint64_t next_bits(uint64_t state[2]) {
  uint64_t s0 = state[0], s1 = state[1];
  uint64_t result = rotated(s0 + s1, 17) + s0;
  s1 ^= s0;
  state[0] = rotated(s0, 49) ^ s1 ^ (s1 << 21);
  state[1] = rotated(s1, 28);
  return result;
}

static uint32_t below(uint64_t state[2], uint32_t count) {
  return (uint32_t)(((next_bits(state) >> 32) * count) >> 32);
}

/* ---- Configuration of a cluster, and pickers -------------------------------------------------- */

struct config { /* of a cluster; shared by its threads */
  char *table, *frontend;
  _Atomic(const char *) said; /* the last reason against the table in the log; NULL at first */
  _Atomic uint64_t strangers; /* how many hosts without a price the log was told of last */
};

/* Envoy counts a request once it has a connection. Until then those of this picker are counted here:
 * else all requests of a burst would go to one host while its connections are being opened. */
struct host {
  uint32_t priority, index;
  int32_t row; /* of the table; -1 if it has none */
  uint64_t sent;      /* picks since `counted`; 0 if all of them have a connection */
  uint64_t counted;   /* all requests of the host that Envoy had counted then */
  int64_t first_sent; /* ns, when the first of them was */
};

struct candidate { /* a healthy host */
  struct host *host;
  uint32_t healthy_index;
  bool out; /* of this pick: not allowed, or refused */
  double price;
};

struct picker { /* of a cluster and thread */
  struct config *config;
  void *envoy;
  struct table table;
  int64_t next_try; /* ns, when the file is opened again if it cannot be used */
  struct host *hosts;
  size_t hosts_count;
  struct candidate *candidates; /* in order of priority, then as Envoy has them */
  size_t candidates_count;
  int64_t *workloads; /* (B,) jobs, of rows that are wanted */
  uint8_t *wanted;    /* (B,) whether a candidate has the row */
  uint64_t stream[2];
  struct picker *next; /* of this thread */
};

/* Pickers of this thread. Those of other clusters with the same table know more requests of a
 * backend; Envoy's counts are the same in all threads. */
static _Thread_local struct picker *pickers;

static void say(int level, const char *format, ...) {
  char message[1024];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(message, sizeof message, format, values);
  va_end(values);
  if (length < 0)
    return;
  size_t kept = (size_t)length < sizeof message ? (size_t)length : sizeof message - 1;
  envoy_dynamic_module_callback_log(level, (struct text){message, kept});
}

static const char USABLE[] = "is in use";

/* Log what has become of the table, if the log does not say so already. */
static void say_state(struct config *config, const char *reason) {
  const char *before = atomic_exchange(&config->said, reason);
  if (before == reason)
    return;
  if (reason == USABLE) /* after a warning as loud as that */
    say(before == NULL ? LOG_INFO : LOG_WARNING, "isocline: frontend %s: price table %s is in use",
        config->frontend, config->table);
  else
    say(LOG_WARNING,
        "isocline: frontend %s: price table %s %s; backends are picked by least requests until "
        "it can be used",
        config->frontend, config->table, reason);
}

/* ---- Hosts: mapped to rows of the table when either changes ----------------------------------- */

static int32_t row_of_host(const struct picker *picker, uint32_t priority, size_t index) {
  if (picker->table.header == NULL)
    return -1;
  struct text found, filter = {"isocline", 8}, key = {"backend", 7};
  if (envoy_dynamic_module_callback_lb_get_host_metadata_string(picker->envoy, priority, index,
                                                                filter, key, &found)) {
    int32_t row = row_of(&picker->table, found, false);
    if (row >= 0)
      return row;
  }
  if (!envoy_dynamic_module_callback_lb_get_host_address(picker->envoy, priority, index, &found))
    return -1;
  return row_of(&picker->table, found, true);
}

/* The host, of those from `first` on in `picker->hosts`, that has this address. Healthy hosts are
 * in the order of all, so the search begins where the last one ended. */
static struct host *host_with(const struct picker *picker, size_t first, size_t count,
                                    size_t *from, struct text address) {
  for (size_t i = 0; i < count; i++) {
    struct host *host = &picker->hosts[first + (*from + i) % count];
    struct text own;
    if (envoy_dynamic_module_callback_lb_get_host_address(picker->envoy, host->priority,
                                                          host->index, &own) &&
        own.length == address.length && memcmp(own.start, address.start, own.length) == 0) {
      *from = (*from + i + 1) % count;
      return host;
    }
  }
  return NULL;
}

static void add_priority(struct picker *picker, uint32_t priority) {
  void *envoy = picker->envoy;
  size_t first = picker->hosts_count, from = 0;
  size_t count = envoy_dynamic_module_callback_lb_get_hosts_count(envoy, priority);
  for (size_t i = 0; i < count; i++)
    picker->hosts[picker->hosts_count++] =
        (struct host){priority, (uint32_t)i, row_of_host(picker, priority, i), 0, 0, 0};
  size_t healthy = envoy_dynamic_module_callback_lb_get_healthy_hosts_count(envoy, priority);
  for (size_t i = 0; i < healthy; i++) {
    struct text address;
    if (!envoy_dynamic_module_callback_lb_get_healthy_host_address(envoy, priority, i, &address))
      continue;
    struct host *host = host_with(picker, first, count, &from, address);
    if (host != NULL)
      picker->candidates[picker->candidates_count++] =
          (struct candidate){.host = host, .healthy_index = (uint32_t)i};
  }
}

static void say_strangers(struct picker *picker) {
  uint64_t strangers = 0;
  const struct host *one = NULL;
  for (size_t i = 0; i < picker->hosts_count; i++)
    if (picker->hosts[i].row < 0) {
      one = &picker->hosts[i];
      strangers++;
    }
  struct text address;
  if (atomic_exchange(&picker->config->strangers, strangers) == strangers || strangers == 0 ||
      !envoy_dynamic_module_callback_lb_get_host_address(picker->envoy, one->priority, one->index,
                                                         &address))
    return;
  char others[32] = "";
  if (strangers > 1)
    snprintf(others, sizeof others, " and %" PRIu64 " more", strangers - 1);
  say(LOG_WARNING,
      "isocline: frontend %s: price table %s has no price for %.*s%s, which gets no requests",
      picker->config->frontend, picker->config->table, (int)address.length, address.start, others);
}

static void map_hosts(struct picker *picker) {
  void *envoy = picker->envoy;
  size_t priorities = envoy_dynamic_module_callback_lb_get_priority_set_size(envoy), count = 0;
  for (size_t i = 0; i < priorities; i++)
    count += envoy_dynamic_module_callback_lb_get_hosts_count(envoy, (uint32_t)i);
  free(picker->hosts);
  free(picker->candidates);
  picker->hosts_count = picker->candidates_count = 0;
  picker->hosts = calloc(count + 1, sizeof(struct host));
  picker->candidates = calloc(count + 1, sizeof(struct candidate));
  if (picker->hosts == NULL || picker->candidates == NULL)
    return;
  for (size_t i = 0; i < priorities; i++)
    add_priority(picker, (uint32_t)i);
  if (picker->table.header == NULL)
    return;
  memset(picker->wanted, 0, picker->table.header->backends);
  for (size_t i = 0; i < picker->candidates_count; i++)
    if (picker->candidates[i].host->row >= 0)
      picker->wanted[picker->candidates[i].host->row] = 1;
  say_strangers(picker);
}

static void drop_table(struct picker *picker) {
  close_table(&picker->table);
  free(picker->workloads);
  free(picker->wanted);
  picker->workloads = NULL;
  picker->wanted = NULL;
}

/* Open the file again; in words why it cannot be used, or NULL. */
static const char *renew_table(struct picker *picker, int64_t now) {
  drop_table(picker);
  const char *reason = open_table(&picker->table, picker->config->table, picker->config->frontend);
  if (reason == NULL) {
    picker->workloads = calloc(picker->table.header->backends, sizeof(int64_t));
    picker->wanted = calloc(picker->table.header->backends, 1);
    if (picker->workloads == NULL || picker->wanted == NULL) {
      reason = "takes more memory than there is";
      drop_table(picker);
    } else {
      reason = unusable(picker->table.header, now);
    }
  }
  map_hosts(picker);
  return reason;
}

static bool is_replaced(const struct picker *picker) {
  const struct header *header = picker->table.header;
  return header != NULL && atomic_load_explicit(&header->replaced, memory_order_relaxed) != 0;
}

/* Whether there is a table to pick by. One that cannot be used is opened again, as another may have
 * taken its place: once a second, and at once where one has. */
static bool has_table(struct picker *picker, int64_t now) {
  const struct header *header = picker->table.header;
  const char *reason = header == NULL ? "is not there" : unusable(header, now);
  if (reason == NULL) {
    if (atomic_load_explicit(&picker->config->said, memory_order_relaxed) != USABLE)
      say_state(picker->config, USABLE);
    picker->next_try = 0;
    return true;
  }
  if (now >= picker->next_try || is_replaced(picker)) {
    reason = renew_table(picker, now);
    picker->next_try = reason == NULL ? 0 : now + 1000000000;
    say_state(picker->config, reason == NULL ? USABLE : reason);
    return reason == NULL;
  }
  return false;
}

/* ---- A pick ----------------------------------------------------------------------------------- */

enum { GIVEN_UP = 1000000000 }; /* ns after which a pick without a connection has failed */

static uint64_t statistic(const struct picker *picker, const struct host *host, int which) {
  return envoy_dynamic_module_callback_lb_get_host_stat(picker->envoy, host->priority, host->index,
                                                        which);
}

/* Requests of a host, those that still wait for a connection included. Other threads' connections
 * count as ours, as Envoy does not tell them apart: then there seem to wait fewer than there do. */
static uint64_t active_requests(const struct picker *picker, struct host *host, int64_t now) {
  uint64_t active = statistic(picker, host, STAT_ACTIVE_REQUESTS);
  if (host->sent == 0)
    return active;
  uint64_t counted = statistic(picker, host, STAT_ALL_REQUESTS) - host->counted;
  if (counted >= host->sent || now - host->first_sent > GIVEN_UP) {
    host->sent = 0;
    return active;
  }
  return active + host->sent - counted;
}

static void note_sent(const struct picker *picker, struct host *host, int64_t now) {
  if (host->sent++ > 0)
    return;
  host->counted = statistic(picker, host, STAT_ALL_REQUESTS);
  host->first_sent = now;
}

/* Jobs of each wanted row. */
static void count_workloads(struct picker *picker, int64_t now) {
  const struct header *header = picker->table.header;
  for (uint32_t row = 0; row < header->backends; row++)
    picker->workloads[row] = picker->table.corrections[row];
  for (struct picker *one = pickers; one != NULL; one = one->next) {
    if (one->table.header == NULL || one->table.header->identity != header->identity)
      continue;
    for (size_t i = 0; i < one->hosts_count; i++) {
      struct host *host = &one->hosts[i];
      if (host->row >= 0 && picker->wanted[host->row])
        picker->workloads[host->row] += (int64_t)active_requests(one, host, now);
    }
  }
}

/* Price the candidates by the table in force; false if it changed twice meanwhile. */
static bool price_by_table(struct picker *picker) {
  const struct table *table = &picker->table;
  const struct header *header = table->header;
  uint64_t sequence = atomic_load_explicit(&header->sequence, memory_order_acquire);
  const struct slot *slot = &table->slots[sequence / 2 % 2];
  size_t backends = header->backends, columns = header->columns;
  const uint8_t *allowed = slot->allowed + table->frontend * backends;
  const double *delays = slot->delays + table->frontend * backends;
  const double *prices =
      slot->prices + (header->tables == 1 ? 0 : table->frontend * backends * columns);
  for (size_t i = 0; i < picker->candidates_count; i++) {
    struct candidate *one = &picker->candidates[i];
    one->out = one->host->row < 0 || !allowed[one->host->row];
    if (one->out)
      continue;
    size_t row = (size_t)one->host->row;
    int64_t jobs = picker->workloads[row] < 0 ? 0 : picker->workloads[row];
    if (jobs > (int64_t)columns - 1)
      jobs = (int64_t)columns - 1;
    one->price = prices[row * columns + (size_t)jobs] + delays[row];
  }
  atomic_thread_fence(memory_order_acquire);
  return atomic_load_explicit(&header->sequence, memory_order_relaxed) < sequence / 2 * 2 + 3;
}

static void price_by_requests(struct picker *picker, int64_t now) {
  for (size_t i = 0; i < picker->candidates_count; i++) {
    struct candidate *one = &picker->candidates[i];
    one->out = false;
    one->price = (double)active_requests(picker, one->host, now);
  }
}

static void price(struct picker *picker, int64_t now) {
  if (has_table(picker, now)) {
    count_workloads(picker, now);
    for (int tries = 0; tries < 8; tries++)
      if (price_by_table(picker))
        return;
  }
  price_by_requests(picker, now);
}

/* The candidate of the first priority that has one, with the least price there; ties uniformly.
 * NULL if all are out. Draws: one if there is a tie. */
static struct candidate *least(struct picker *picker) {
  struct candidate *best = NULL;
  double lowest = INFINITY;
  uint32_t tied = 0;
  for (size_t i = 0; i < picker->candidates_count; i++) {
    struct candidate *one = &picker->candidates[i];
    if (one->out)
      continue;
    if (best != NULL && one->host->priority != best->host->priority)
      break;
    if (best == NULL || one->price < lowest) {
      best = one;
      lowest = one->price;
      tied = 1;
    } else if (one->price == lowest) {
      tied++;
    }
  }
  if (tied < 2)
    return best;
  uint32_t skip = below(picker->stream, tied);
  for (struct candidate *one = best;; one++)
    if (!one->out && one->price == lowest && skip-- == 0)
      return one;
}

/* Whether Envoy wants another host than this one: a retry, away from those that failed. */
static bool is_refused(const struct picker *picker, void *context, const struct candidate *one) {
  return context != NULL &&
         envoy_dynamic_module_callback_lb_context_should_select_another_host(
             picker->envoy, context, one->host->priority, one->host->index);
}

static const struct candidate *pick(struct picker *picker, void *context, int64_t now) {
  price(picker, now);
  struct candidate *first = least(picker);
  for (struct candidate *one = first; one != NULL; one = least(picker)) {
    if (!is_refused(picker, context, one))
      return one;
    one->out = true;
  }
  return first; /* all are refused: as well this one, or there is none */
}

/* ---- What Envoy calls ------------------------------------------------------------------------- */

static char *copied(const char *start, size_t length) {
  char *copy = malloc(length + 1);
  if (copy != NULL) {
    memcpy(copy, start, length);
    copy[length] = '\0';
  }
  return copy;
}

static void read_line(struct config *config, const char *line, size_t length) {
  const char *equals = memchr(line, '=', length);
  if (equals == NULL)
    return;
  size_t key = (size_t)(equals - line), size = length - key - 1;
  if (key == 5 && memcmp(line, "table", 5) == 0 && config->table == NULL)
    config->table = copied(equals + 1, size);
  else if (key == 8 && memcmp(line, "frontend", 8) == 0 && config->frontend == NULL)
    config->frontend = copied(equals + 1, size);
}

const char *envoy_dynamic_module_on_program_init(void) { return ISOCLINE_ENVOY_ABI; }

void envoy_dynamic_module_on_lb_config_destroy(struct config *config) {
  free(config->table);
  free(config->frontend);
  free(config);
}

struct config *envoy_dynamic_module_on_lb_config_new(void *envoy, struct text name,
                                                     struct text lines) {
  (void)envoy, (void)name;
  struct config *config = calloc(1, sizeof(struct config));
  if (config == NULL)
    return NULL;
  for (size_t at = 0; at < lines.length;) {
    const char *line = lines.start + at, *end = memchr(line, '\n', lines.length - at);
    size_t length = end == NULL ? lines.length - at : (size_t)(end - line);
    read_line(config, line, length);
    at += length + 1;
  }
  if (config->table != NULL && config->frontend != NULL)
    return config;
  say(LOG_ERROR, "isocline: the policy's configuration needs lines table=PATH and frontend=NAME");
  envoy_dynamic_module_on_lb_config_destroy(config);
  return NULL;
}

void envoy_dynamic_module_on_lb_destroy(struct picker *picker) {
  for (struct picker **at = &pickers; *at != NULL; at = &(*at)->next)
    if (*at == picker) {
      *at = picker->next;
      break;
    }
  drop_table(picker);
  free(picker->hosts);
  free(picker->candidates);
  free(picker);
}

struct picker *envoy_dynamic_module_on_lb_new(struct config *config, void *envoy) {
  struct picker *picker = calloc(1, sizeof(struct picker));
  if (picker == NULL)
    return NULL;
  picker->config = config;
  picker->envoy = envoy;
  if (getentropy(picker->stream, sizeof picker->stream) != 0)
    picker->stream[0] = (uint64_t)now_ns() ^ (uint64_t)(uintptr_t)picker;
  if (picker->stream[0] == 0 && picker->stream[1] == 0)
    picker->stream[0] = 1; /* the one state that xoroshiro never leaves */
  picker->next = pickers;
  pickers = picker;
  has_table(picker, now_ns()); /* opens it, and maps hosts */
  return picker;
}

void envoy_dynamic_module_on_lb_on_host_membership_update(void *envoy, struct picker *picker,
                                                          size_t added, size_t removed) {
  (void)added, (void)removed; /* both are 0 when a host's health has changed */
  picker->envoy = envoy;
  if (is_replaced(picker))
    has_table(picker, now_ns()); /* opens the table with the prices of new hosts, and maps them */
  else
    map_hosts(picker);
}

bool envoy_dynamic_module_on_lb_choose_host(void *envoy, struct picker *picker, void *context,
                                            uint32_t *priority, uint32_t *index) {
  (void)envoy;
  int64_t now = now_ns();
  const struct candidate *chosen = pick(picker, context, now);
  if (chosen == NULL)
    return false;
  note_sent(picker, chosen->host, now);
  *priority = chosen->host->priority;
  *index = chosen->healthy_index;
  return true;
}
