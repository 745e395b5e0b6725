// Symbols of the C library as glibc 2.17 has them (XCP-ng 8.3, CentOS 7). Linked on a newer system, the addon would ask for the newest
// version of each; these definitions, which the linker finds first, pass the call to the oldest one. Without them, and with libstdc++ and
// libgcc inside, the addon needs glibc 2.35.
#include <features.h>

#if defined(__GLIBC__)

#include <dlfcn.h>
#include <link.h>

#include <cstdint>

// The version of everything that was there when glibc came to the architecture (sysdeps/unix/sysv/linux/*/shlib-versions).
#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
constexpr int kStatVersion = 1;
#elif defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
constexpr int kStatVersion = 0;
#else
#error "the first version of glibc on this architecture, and its _STAT_VER_LINUX"
#endif

// The names are labels, because the headers declare these functions with types and attributes that differ between versions.
#define PASS_TO_OLDEST(name, result, parameters, arguments)                                                        \
  extern "C" result oldest_##name parameters;                                                                      \
  __asm__(".symver oldest_" #name "," #name "@" OLDEST);                                                           \
  extern "C" [[gnu::visibility("hidden")]] result passed_##name parameters __asm__(#name);                         \
  extern "C" result passed_##name parameters { return oldest_##name arguments; }

// In libpthread until 2.34.
PASS_TO_OLDEST(pthread_create, int, (void* thread, const void* attributes, void* (*run)(void*), void* argument),
               (thread, attributes, run, argument))
PASS_TO_OLDEST(pthread_join, int, (unsigned long thread, void** result), (thread, result))
PASS_TO_OLDEST(pthread_once, int, (void* once, void (*run)()), (once, run))
PASS_TO_OLDEST(pthread_sigmask, int, (int how, const void* set, void* old), (how, set, old))
PASS_TO_OLDEST(pthread_attr_setstacksize, int, (void* attributes, unsigned long size), (attributes, size))
PASS_TO_OLDEST(pthread_key_create, int, (unsigned int* key, void (*destroy)(void*)), (key, destroy))
PASS_TO_OLDEST(__pthread_key_create, int, (unsigned int* key, void (*destroy)(void*)), (key, destroy))
PASS_TO_OLDEST(pthread_getspecific, void*, (unsigned int key), (key))
PASS_TO_OLDEST(pthread_setspecific, int, (unsigned int key, const void* value), (key, value))

// In libdl until 2.34.
PASS_TO_OLDEST(dlopen, void*, (const char* file, int mode), (file, mode))
PASS_TO_OLDEST(dlsym, void*, (void* handle, const char* name), (handle, name))
PASS_TO_OLDEST(dlclose, int, (void* handle), (handle))

// fcntl64 since 2.28: on 64-bit systems it is fcntl. The third argument is an int or a pointer.
PASS_TO_OLDEST(fcntl, int, (int fd, int command, void* argument), (fd, command, argument))
extern "C" [[gnu::visibility("hidden")]] int passed_fcntl64(int fd, int command, void* argument) __asm__("fcntl64");
extern "C" int passed_fcntl64(int fd, int command, void* argument) { return oldest_fcntl(fd, command, argument); }

// A function since 2.33; before that, <sys/stat.h> called __fxstat64 with the version of the structure.
PASS_TO_OLDEST(__fxstat64, int, (int version, int fd, void* status), (version, fd, status))
extern "C" [[gnu::visibility("hidden")]] int passed_fstat64(int fd, void* status) __asm__("fstat64");
extern "C" int passed_fstat64(int fd, void* status) { return oldest___fxstat64(kStatVersion, fd, status); }

// Since 2.32. std::shared_ptr counts without atomic instructions while it is set; the addon has threads.
extern "C" [[gnu::visibility("hidden")]] char __libc_single_threaded;
char __libc_single_threaded = 0;

// Since 2.35. The unwinder calls it for an exception, which `new (std::nothrow)` of libstdc++ throws and catches when there is no memory. Before
// that, the unwinder looked at all objects, as here.
#if __GLIBC_PREREQ(2, 35)
namespace {

struct Search {
  const uintptr_t address;
  dl_find_object* const found;
};

// Stops at the object that has the address.
int look_at(dl_phdr_info* object, size_t, void* data) {
  const Search& search = *static_cast<Search*>(data);
  void* frames = nullptr;
  bool is_inside = false;
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[index];
    const uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && search.address >= start && search.address - start < segment.p_memsz) is_inside = true;
    if (segment.p_type == PT_GNU_EH_FRAME) frames = reinterpret_cast<void*>(start);
  }
  if (!is_inside) return 0;
  search.found->dlfo_eh_frame = frames;
  return frames == nullptr ? -1 : 1;
}

}  // namespace

extern "C" [[gnu::visibility("hidden")]] int passed_dl_find_object(void* address, dl_find_object* found) __asm__("_dl_find_object");
extern "C" int passed_dl_find_object(void* address, dl_find_object* found) {
  *found = {};
  Search search = {reinterpret_cast<uintptr_t>(address), found};
  return dl_iterate_phdr(look_at, &search) == 1 ? 0 : -1;
}
#endif

#endif
