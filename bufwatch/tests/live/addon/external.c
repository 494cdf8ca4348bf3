// A native addon that makes Buffers over memory which V8 does not own, as image and database
// libraries do, and counts their finalizers; and one that keeps what it is given for good. It also
// lets the older Node versions become another program, forks without becoming one, and asks glibc's
// malloc what it has, which they cannot do by themselves; and it keeps the heap from growing, as V8's
// code does by chance.

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
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

// forked(callback): calls it in a copy of this process, which ends with the number that it returns;
// returns that, or the negative number of the signal that ended the copy.
static napi_value forked(napi_env env, napi_callback_info info) {
  size_t n_arguments = 1;
  napi_value callback;
  napi_value result;
  if (napi_get_cb_info(env, info, &n_arguments, &callback, NULL, NULL) != napi_ok ||
      n_arguments != 1) {
    napi_throw_type_error(env, NULL, "forked takes a function");
    return NULL;
  }
  pid_t copy = fork();
  if (copy == 0) {
    napi_value this_value;
    int32_t code = 255;
    if (napi_get_undefined(env, &this_value) != napi_ok ||
        napi_call_function(env, this_value, callback, 0, NULL, &result) != napi_ok ||
        napi_get_value_int32(env, result, &code) != napi_ok) {
      code = 255;
    }
    _exit(code);
  }
  int status = 0;
  while (copy > 0 && waitpid(copy, &status, 0) < 0 && errno == EINTR) {
  }
  int32_t end = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return napi_create_int32(env, copy > 0 ? end : -1, &result) == napi_ok ? result : NULL;
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
      {"externalBuffer", NULL, external_buffer, NULL, NULL, NULL, napi_enumerable, NULL},
      {"execute", NULL, execute, NULL, NULL, NULL, napi_enumerable, NULL},
      {"finalized", NULL, finalized, NULL, NULL, NULL, napi_enumerable, NULL},
      {"forked", NULL, forked, NULL, NULL, NULL, napi_enumerable, NULL},
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
