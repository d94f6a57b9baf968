#pragma once

#include "support/server.hpp"
#include "trial/dice.hpp"

#include <cstddef>
#include <string>

namespace matview::test {

// Small contents for the tables of TPC-H. Its own generator makes so many different values that
// among a few rows no question has an answer; here values are few, and those that the questions
// ask for are among them.

/// Makes the tables and fills them, always alike: 5 regions, 25 nations, 10 suppliers, 40 parts,
/// 80 partsupps, 30 customers, 150 orders and 500 lineitems.
void make_tpch(test_database& db);

/// Inserts into, updates (keys as well) and deletes from as many of the tables, each statement in a
/// transaction of its own.
void change_tpch(test_database& db, trial::dice& dice, std::size_t tables);

}  // namespace matview::test
