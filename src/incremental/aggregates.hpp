#pragma once

#include "incremental/expressions.hpp"

#include <optional>
#include <string>
#include <vector>

namespace matview::incremental {

/// What a group keeps so that its aggregates can be updated from changes alone: how many rows it
/// has (__mv_n), and of some expressions the sum and the number of values that are not NULL, or the
/// least or greatest value.
struct aggregate_state {
  struct total {
    node* of = nullptr;
    bool number_only = false;  ///< No sum is needed.
  };
  struct extreme {
    node* of = nullptr;
    bool least = false;
  };
  std::vector<total> totals;
  std::vector<extreme> extremes;
};

/// What keeps an aggregate from it: nothing if it can be updated. `state` then has what it needs.
/// The types of arguments are not known here: sums of floating point are found out later.
[[nodiscard]] std::optional<std::string> add_to_state(const query_context& in, const node* call,
                                                      aggregate_state& state);

/// The aggregate's value from a group's state, as SQL on the columns of the storage.
[[nodiscard]] std::string value_from_state(const query_context& in, const node* call,
                                           const aggregate_state& state);

/// Those of `calls` that divide their sum: avg. Its digits depend on the scale of the sum, which is
/// that of the column only if the column has one.
[[nodiscard]] std::vector<const node*> averaged(const std::vector<node*>& calls);

/// What an expression over aggregates makes of the digits of sum(argument) after its point. Equal
/// sums may have others.
enum class scale_use {
  none,      ///< It goes by its value.
  quotient,  ///< A division, of which it is the dividend or a factor of it: 0 if the sum is 0.
  digits,    ///< They are seen, as by a cast to text, or by a division that rounds by them.
};
[[nodiscard]] scale_use scale_used(const query_context& in, node* output, const node* argument);

/// The aggregate's first argument, with its FILTER in it: NULL where the filter is not true.
[[nodiscard]] node* argument_of(const query_context& in, const node* call);

}  // namespace matview::incremental
