/* Stand-in for Envoy: the module with the functions that it calls, for replays without a proxy.
 *
 * A `stand_in` is one cluster in one thread: hosts with an address, active requests and health. */
#include "module.c"

struct stand_in {
  struct config *config;
  struct picker *picker;
  size_t count;
  char **addresses;
  uint64_t *active;    /* requests of each host that have a connection */
  uint64_t *all;       /* requests that ever had one */
  uint8_t *waiting;    /* whether requests to a host get none */
  uint8_t *healthy;    /* whether each host is; `stand_in_update` after a change */
  uint8_t *refused;    /* hosts that Envoy does not want for a retry */
  size_t *healthy_ones; /* numbers of hosts */
  size_t healthy_count;
};

static char last_message[1024];
static uint64_t messages;
static int last_level;

void envoy_dynamic_module_callback_log(int level, struct text message) {
  last_level = level;
  size_t kept = message.length < sizeof last_message ? message.length : sizeof last_message - 1;
  memcpy(last_message, message.start, kept);
  last_message[kept] = '\0';
  messages++;
}

size_t envoy_dynamic_module_callback_lb_get_priority_set_size(void *lb) {
  (void)lb;
  return 1;
}

size_t envoy_dynamic_module_callback_lb_get_hosts_count(void *lb, uint32_t priority) {
  (void)priority;
  return ((struct stand_in *)lb)->count;
}

size_t envoy_dynamic_module_callback_lb_get_healthy_hosts_count(void *lb, uint32_t priority) {
  (void)priority;
  return ((struct stand_in *)lb)->healthy_count;
}

bool envoy_dynamic_module_callback_lb_get_host_address(void *lb, uint32_t priority, size_t index,
                                                       struct text *result) {
  (void)priority;
  const char *address = ((struct stand_in *)lb)->addresses[index];
  *result = (struct text){address, strlen(address)};
  return true;
}

bool envoy_dynamic_module_callback_lb_get_healthy_host_address(void *lb, uint32_t priority,
                                                               size_t index, struct text *result) {
  size_t host = ((struct stand_in *)lb)->healthy_ones[index];
  return envoy_dynamic_module_callback_lb_get_host_address(lb, priority, host, result);
}

bool envoy_dynamic_module_callback_lb_get_host_metadata_string(void *lb, uint32_t priority,
                                                               size_t index, struct text filter,
                                                               struct text key,
                                                               struct text *result) {
  (void)lb, (void)priority, (void)index, (void)filter, (void)key, (void)result;
  return false;
}

uint64_t envoy_dynamic_module_callback_lb_get_host_stat(void *lb, uint32_t priority, size_t index,
                                                        int stat) {
  (void)priority;
  struct stand_in *it = lb;
  return stat == STAT_ACTIVE_REQUESTS ? it->active[index] : it->all[index];
}

bool envoy_dynamic_module_callback_lb_context_should_select_another_host(void *lb, void *context,
                                                                         uint32_t priority,
                                                                         size_t index) {
  (void)context, (void)priority;
  return ((struct stand_in *)lb)->refused[index];
}

static void sort_healthy(struct stand_in *it) {
  it->healthy_count = 0;
  for (size_t i = 0; i < it->count; i++)
    if (it->healthy[i])
      it->healthy_ones[it->healthy_count++] = i;
}

/* A cluster with these hosts, all healthy and idle; NULL if the module refuses its configuration. */
struct stand_in *stand_in_new(const char *config, size_t count, const char *const *addresses) {
  struct stand_in *it = calloc(1, sizeof(struct stand_in));
  it->config = envoy_dynamic_module_on_lb_config_new(it, (struct text){"isocline", 8},
                                                     (struct text){config, strlen(config)});
  if (it->config == NULL) {
    free(it);
    return NULL;
  }
  it->count = count;
  it->addresses = calloc(count + 1, sizeof(char *));
  it->active = calloc(count + 1, sizeof(uint64_t));
  it->all = calloc(count + 1, sizeof(uint64_t));
  it->waiting = calloc(count + 1, 1);
  it->healthy = calloc(count + 1, 1);
  it->refused = calloc(count + 1, 1);
  it->healthy_ones = calloc(count + 1, sizeof(size_t));
  for (size_t i = 0; i < count; i++) {
    it->addresses[i] = copied(addresses[i], strlen(addresses[i]));
    it->healthy[i] = 1;
  }
  sort_healthy(it);
  it->picker = envoy_dynamic_module_on_lb_new(it->config, it);
  return it;
}

void stand_in_free(struct stand_in *it) {
  envoy_dynamic_module_on_lb_destroy(it->picker);
  envoy_dynamic_module_on_lb_config_destroy(it->config);
  for (size_t i = 0; i < it->count; i++)
    free(it->addresses[i]);
  free(it->addresses);
  free(it->active);
  free(it->all);
  free(it->waiting);
  free(it->healthy);
  free(it->refused);
  free(it->healthy_ones);
  free(it);
}

uint64_t *stand_in_active(struct stand_in *it) { return it->active; }
uint8_t *stand_in_waiting(struct stand_in *it) { return it->waiting; }
uint8_t *stand_in_healthy(struct stand_in *it) { return it->healthy; }
uint8_t *stand_in_refused(struct stand_in *it) { return it->refused; }

/* Tell the module that health has changed. */
void stand_in_update(struct stand_in *it) {
  sort_healthy(it);
  envoy_dynamic_module_on_lb_on_host_membership_update(it, it->picker, 0, 0);
}

/* Number of the host picked, -1 for none. Ties are drawn from `stream`, which clusters may share;
 * NULL: from the picker's own. */
int64_t stand_in_pick(struct stand_in *it, uint64_t *stream) {
  uint32_t priority, index;
  if (stream != NULL)
    memcpy(it->picker->stream, stream, 2 * sizeof *stream);
  bool found =
      envoy_dynamic_module_on_lb_choose_host(it, it->picker, it, &priority, &index);
  if (stream != NULL)
    memcpy(stream, it->picker->stream, 2 * sizeof *stream);
  if (!found)
    return -1;
  size_t host = it->healthy_ones[index];
  it->all[host] += !it->waiting[host];
  return (int64_t)host;
}

/* Pick so many times, for a measurement. */
void stand_in_pick_often(struct stand_in *it, uint64_t times) {
  for (uint64_t i = 0; i < times; i++)
    stand_in_pick(it, NULL);
}

/* What the module last logged, how many messages there were, and whether the last one warns. */
const char *stand_in_message(void) { return last_message; }
uint64_t stand_in_messages(void) { return messages; }
bool stand_in_is_warning(void) { return last_level >= LOG_WARNING; }
