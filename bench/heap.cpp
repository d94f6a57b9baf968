#include "heap.hpp"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

// A program may bring its own malloc (glibc manual, "Replacing malloc"); the shared libraries then
// use it as well. This one is glibc's with a count. The names with two underscores are glibc's own
// exported ones; nothing else reaches it from here without recursion.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* block);
}

namespace {

std::atomic<bool> counting = false;
std::atomic<std::int64_t> live_bytes = 0;
std::atomic<std::int64_t> peak_bytes = 0;

bool counts() noexcept {
  return counting.load(std::memory_order_relaxed);
}

void* added(void* block) noexcept {
  if (block == nullptr || !counts()) return block;
  const auto size = static_cast<std::int64_t>(malloc_usable_size(block));
  const std::int64_t now = live_bytes.fetch_add(size) + size;
  std::int64_t before = peak_bytes.load();
  while (before < now && !peak_bytes.compare_exchange_weak(before, now)) {
  }
  return block;
}

void* removed(void* block) noexcept {
  if (block != nullptr && counts()) {
    live_bytes.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)));
  }
  return block;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
  return added(__libc_malloc(size));
}

void* calloc(std::size_t count, std::size_t size) noexcept {
  return added(__libc_calloc(count, size));
}

void* realloc(void* block, std::size_t size) noexcept {
  removed(block);
  void* moved = __libc_realloc(block, size);
  if (moved == nullptr && size != 0) added(block);  // It failed, and the old block is still there.
  return added(moved);
}

void free(void* block) noexcept {
  __libc_free(removed(block));
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return added(__libc_memalign(alignment, size));
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return added(__libc_memalign(alignment, size));
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
  *block = added(__libc_memalign(alignment, size));
  return *block == nullptr ? ENOMEM : 0;
}

}  // extern "C"

namespace matview::bench {

heap_count::heap_count() {
  live_bytes = 0;
  peak_bytes = 0;
  counting = true;
}

heap_count::~heap_count() {
  counting = false;
}

std::int64_t heap_count::live() const noexcept {
  return live_bytes;
}

std::int64_t heap_count::peak() const noexcept {
  return peak_bytes;
}

void heap_count::restart_peak() noexcept {
  peak_bytes = live_bytes.load();
}

}  // namespace matview::bench
