#pragma once

#include "bare_libpq.hpp"

#include <string>
#include <string_view>
#include <vector>

// What incremental views are measured on. Made by SQL and the same in each run; no file is read.

namespace matview::bench {

/// Tables that are made, changed and looked at together.
enum class data_set {
  pgbench,  ///< pgbench's accounts and branches, and kiosks: as branches, but of 100 accounts each.
  lineitem,  ///< TPC-H's six tables; changes are those of lineitem, and of orders for one in 40.
  orders,    ///< The same six tables; changes are those of orders.
  flights,   ///< The demo's flights, with a number for each.
};

/// Rows of the table of each set that is changed most.
struct data_sizes {
  long accounts;
  long lineitems;  ///< Four for each order, forty for each customer.
  long flights;

  [[nodiscard]] long rows(data_set of) const;
};

[[nodiscard]] std::string_view name_of(data_set set);

/// Makes the tables of `set` in `schema`, with their primary keys and what indexes the views need,
/// and has them analyzed.
void make_tables(PGconn* on, const std::string& schema, data_set set, const data_sizes& sizes);

/// Changes about `rows` rows, picked at random: one half is updated, one quarter deleted, one
/// quarter comes new; so the table stays as large as it is. Three statements, committed one by one.
void change_rows(PGconn* on, const std::string& schema, data_set set, long rows);

/// The tables that change_rows() writes into.
[[nodiscard]] std::vector<std::string> changed_tables(const std::string& schema, data_set set);

}  // namespace matview::bench
