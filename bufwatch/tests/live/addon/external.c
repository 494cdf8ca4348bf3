// A native addon that makes Buffers over memory which V8 does not own, as image and database
// libraries do, and counts their finalizers; and one that keeps what it is given for good. It also
// lets the older Node versions become another program, compares the program's code with its file, and
// asks glibc's malloc what it has, which they cannot do by themselves; and it keeps the heap from
// growing, as V8's code does by chance.

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t n_finalized;

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  free(data);
  n_finalized += 1;
}

// externalBuffer(size): a Buffer of that many bytes from malloc.
static napi_value external_buffer(napi_env env, napi_callback_info info) {
  size_t n_arguments = 1;
  napi_value argument;
  uint32_t size = 0;
  if (napi_get_cb_info(env, info, &n_arguments, &argument, NULL, NULL) != napi_ok ||
      n_arguments != 1 || napi_get_value_uint32(env, argument, &size) != napi_ok || size == 0) {
    napi_throw_type_error(env, NULL, "externalBuffer takes a size above 0");
    return NULL;
  }
  void *data = malloc(size);
  if (data == NULL) {
    napi_throw_error(env, NULL, "out of memory");
    return NULL;
  }
  memset(data, 'x', size);
  napi_value buffer;
  if (napi_create_external_buffer(env, size, data, finalize, NULL, &buffer) != napi_ok) {
    free(data);
    napi_throw_error(env, NULL, "no external buffers here");
    return NULL;
  }
  return buffer;
}

// hold(value): nothing of JavaScript is needed any more to keep it alive.
static napi_value hold(napi_env env, napi_callback_info info) {
  size_t n_arguments = 1;
  napi_value argument;
  napi_ref reference;
  if (napi_get_cb_info(env, info, &n_arguments, &argument, NULL, NULL) != napi_ok ||
      n_arguments != 1 || napi_create_reference(env, argument, 1, &reference) != napi_ok) {
    napi_throw_type_error(env, NULL, "hold takes an object");
  }
  return NULL;
}

static napi_value finalized(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value count;
  return napi_create_uint32(env, n_finalized, &count) == napi_ok ? count : NULL;
}

// execute(program, argument): does not return, unless it fails.
static napi_value execute(napi_env env, napi_callback_info info) {
  size_t n_arguments = 2;
  napi_value arguments[2];
  char program[4096];
  char argument[4096];
  if (napi_get_cb_info(env, info, &n_arguments, arguments, NULL, NULL) != napi_ok ||
      n_arguments != 2 ||
      napi_get_value_string_utf8(env, arguments[0], program, sizeof program, NULL) != napi_ok ||
      napi_get_value_string_utf8(env, arguments[1], argument, sizeof argument, NULL) != napi_ok) {
    napi_throw_type_error(env, NULL, "execute takes a program and an argument");
    return NULL;
  }
  // The new program uses the pipes of this one.
  for (int fd = 0; fd <= 2; fd += 1) {
    fcntl(fd, F_SETFD, 0);
  }
  execl(program, program, argument, (char *)NULL);
  napi_throw_error(env, NULL, "execl failed");
  return NULL;
}

// How many bytes of this program's code in memory are others than in its file; negative if that cannot
// be told.
static int32_t changed_code(void) {
  char line[512];
  static unsigned char chunk[1 << 16];
  int file = open("/proc/self/exe", O_RDONLY);
  FILE *maps = fopen("/proc/self/maps", "r");
  char path[4096];
  ssize_t path_len = readlink("/proc/self/exe", path, sizeof path - 1);
  int32_t n_changed = file < 0 || maps == NULL || path_len < 0 ? -1 : 0;
  path[path_len < 0 ? 0 : path_len] = '\0';
  while (n_changed >= 0 && fgets(line, sizeof line, maps) != NULL) {
    unsigned long start;
    unsigned long end;
    unsigned long offset;
    char flags[8];
    if (strstr(line, path) == NULL ||
        sscanf(line, "%lx-%lx %7s %lx", &start, &end, flags, &offset) != 4 || flags[2] != 'x') {
      continue;
    }
    while (start < end) {
      size_t wanted = end - start < sizeof chunk ? end - start : sizeof chunk;
      ssize_t n = pread(file, chunk, wanted, (off_t)offset);
      if (n <= 0) {
        break;
      }
      const unsigned char *code = (const unsigned char *)start;
      for (ssize_t i = 0; memcmp(code, chunk, (size_t)n) != 0 && i < n; i += 1) {
        n_changed += code[i] != chunk[i];
        chunk[i] = code[i];
      }
      start += (size_t)n;
      offset += (size_t)n;
    }
  }
  if (maps != NULL) {
    fclose(maps);
  }
  if (file >= 0) {
    close(file);
  }
  return n_changed;
}

// changedCode(isForked): of this process, or of a copy of it, where nothing of V8 can run, since V8's heap
// is not copied. Negative, by the signal, if the copy was killed.
static napi_value changed(napi_env env, napi_callback_info info) {
  size_t n_arguments = 1;
  napi_value argument;
  napi_value result;
  bool is_forked = false;
  if (napi_get_cb_info(env, info, &n_arguments, &argument, NULL, NULL) != napi_ok ||
      n_arguments != 1 || napi_get_value_bool(env, argument, &is_forked) != napi_ok) {
    napi_throw_type_error(env, NULL, "changedCode takes a boolean");
    return NULL;
  }
  if (!is_forked) {
    return napi_create_int32(env, changed_code(), &result) == napi_ok ? result : NULL;
  }
  pid_t copy = fork();
  if (copy == 0) {
    int32_t n_changed = changed_code();
    _exit(n_changed < 0 || n_changed > 255 ? 255 : n_changed);
  }
  int status = 0;
  while (copy > 0 && waitpid(copy, &status, 0) < 0 && errno == EINTR) {
  }
  int32_t end = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return napi_create_int32(env, copy > 0 ? end : -255, &result) == napi_ok ? result : NULL;
}

// mallocTrim(): gives free memory back to the kernel.
static napi_value trim(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value was_given;
  return napi_get_boolean(env, malloc_trim(0), &was_given) == napi_ok ? was_given : NULL;
}

// wallBrk(): true if brk cannot grow any more, because the page behind it is taken.
static napi_value wall_brk(napi_env env, napi_callback_info info) {
  (void)info;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  void *wanted = (void *)(((uintptr_t)sbrk(0) + page - 1) / page * page);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  void *wall = mmap(wanted, page, PROT_NONE, flags, -1, 0);
  bool is_walled = wall == wanted || (wall == MAP_FAILED && errno == EEXIST);
  napi_value result;
  return napi_get_boolean(env, is_walled, &result) == napi_ok ? result : NULL;
}

// mallocInfo(): [bytes of free chunks, of these in fast bins, blocks with own mappings, their bytes, bytes of all arenas].
static napi_value malloc_numbers(napi_env env, napi_callback_info info) {
  (void)info;
#if __GLIBC_PREREQ(2, 33)
  struct mallinfo2 now = mallinfo2();
#else
  struct mallinfo now = mallinfo();
#endif
  double numbers[] = {now.fordblks, now.fsmblks, now.hblks, now.hblkhd, now.arena};
  napi_value list;
  if (napi_create_array(env, &list) != napi_ok) {
    return NULL;
  }
  for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i += 1) {
    napi_value number;
    if (napi_create_double(env, numbers[i], &number) != napi_ok ||
        napi_set_element(env, list, i, number) != napi_ok) {
      return NULL;
    }
  }
  return list;
}

NAPI_MODULE_INIT() {
  napi_property_descriptor functions[] = {
      {"changedCode", NULL, changed, NULL, NULL, NULL, napi_enumerable, NULL},
      {"externalBuffer", NULL, external_buffer, NULL, NULL, NULL, napi_enumerable, NULL},
      {"execute", NULL, execute, NULL, NULL, NULL, napi_enumerable, NULL},
      {"finalized", NULL, finalized, NULL, NULL, NULL, napi_enumerable, NULL},
      {"hold", NULL, hold, NULL, NULL, NULL, napi_enumerable, NULL},
      {"mallocTrim", NULL, trim, NULL, NULL, NULL, napi_enumerable, NULL},
      {"mallocInfo", NULL, malloc_numbers, NULL, NULL, NULL, napi_enumerable, NULL},
      {"wallBrk", NULL, wall_brk, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  size_t n_functions = sizeof functions / sizeof *functions;
  if (napi_define_properties(env, exports, n_functions, functions) != napi_ok) {
    return NULL;
  }
  return exports;
}
