#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace matview::pg {

/// One result of the server: rows of text, or just a command tag. Move-only; owns the PGresult.
class result final {
 public:
  /// No rows and no columns.
  result() noexcept = default;

  /// Takes over `raw`, which must not be an error.
  explicit result(PGresult* raw) noexcept : raw_(raw) {}

  [[nodiscard]] int rows() const noexcept { return PQntuples(raw_.get()); }

  /// Whether the value is NULL. Row and column count from 0 and must exist, here and below.
  [[nodiscard]] bool is_null(int row, int column) const noexcept;

  /// The value as the server wrote it, valid as long as this object. NULL reads as empty.
  [[nodiscard]] std::string_view text(int row, int column) const noexcept;
  [[nodiscard]] std::string string(int row, int column) const;

  /// A bigint. @throws error with errc::server_error if the value is none.
  [[nodiscard]] std::int64_t integer(int row, int column) const;

  /// A boolean.
  [[nodiscard]] bool boolean(int row, int column) const noexcept;

  /// What the columns are called, and their types: the oid, and the modifier or -1.
  [[nodiscard]] int columns() const noexcept { return PQnfields(raw_.get()); }
  [[nodiscard]] std::string_view name(int column) const noexcept {
    return PQfname(raw_.get(), column);
  }
  [[nodiscard]] std::int64_t type(int column) const noexcept { return PQftype(raw_.get(), column); }
  [[nodiscard]] int modifier(int column) const noexcept { return PQfmod(raw_.get(), column); }

  /// The number in a command tag such as `SELECT 12`, or -1 if it has none.
  [[nodiscard]] std::int64_t affected() const noexcept;

 private:
  struct clear {
    void operator()(PGresult* raw) const noexcept { PQclear(raw); }
  };
  std::unique_ptr<PGresult, clear> raw_;
};

}  // namespace matview::pg
