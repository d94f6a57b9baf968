#pragma once

#include "pg/connection.hpp"
#include "store/query_facts.hpp"
#include <matview/error.hpp>

#include "incremental/compile.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace matview::views {

// The compiler of incremental views on a connection: it asks, and the server answers.

/// What came of it.
struct compilation {
  store::query_facts facts;
  std::variant<incremental::compiled_view, incremental::refusal> result;

  [[nodiscard]] const incremental::compiled_view* view() const {
    return std::get_if<incremental::compiled_view>(&result);
  }
  [[nodiscard]] const incremental::refusal* refusal() const {
    return std::get_if<incremental::refusal>(&result);
  }
};

/// Both need an empty search_path and run in the caller's transaction.
asio::awaitable<store::query_facts> facts_of(pg::connection& on, std::int64_t view);
asio::awaitable<compilation> compile_on(pg::connection& on, store::query_facts facts,
                                        incremental::view_parts parts);

/// The names of the parts of the view with this number.
[[nodiscard]] incremental::view_parts parts_of(int id);

/// The program as matview.refresh() reads it.
[[nodiscard]] std::string program_json(const incremental::compiled_view& view,
                                       const incremental::view_parts& parts);

/// The refusal as an error about the user's query: with its place, if it can be found there.
[[nodiscard]] error refused(const incremental::refusal& why, const std::string& query);

/// `volatile function random(): its result changes from call to call`. Pure.
[[nodiscard]] std::string told(const incremental::refusal& why);

/// Where in the query what was refused stands: 1-based, in characters. Pure.
[[nodiscard]] std::optional<std::size_t> place_of(const incremental::refusal& why,
                                                  const std::string& query);

}  // namespace matview::views
