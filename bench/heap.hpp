#pragma once

#include <cstdint>

namespace matview::bench {

/// Counts what this process has from malloc, by whatever name it is asked for: operator new,
/// aligned_alloc (with which Asio makes its coroutine frames) and the mallocs of libpq all end
/// there. Bytes are those the allocator really set aside (malloc_usable_size), on all threads.
///
/// Counts only while an object of this type lives, so that it does not weigh on what is timed; one
/// at a time.
class heap_count final {
 public:
  heap_count();
  ~heap_count();
  heap_count(const heap_count&) = delete;
  heap_count& operator=(const heap_count&) = delete;

  /// What was allocated less what was freed, since the construction.
  [[nodiscard]] std::int64_t live() const noexcept;

  /// The most that live() has been since restart_peak().
  [[nodiscard]] std::int64_t peak() const noexcept;
  void restart_peak() noexcept;
};

}  // namespace matview::bench
