#include "trial/query.hpp"

#include <algorithm>
#include <cctype>
#include <functional>

namespace matview::trial {

namespace {

using edit = std::function<void(query&)>;

// --- What a node holds, in an order that is the same for a copy of it.

void collect(expr& from, std::vector<query*>& into);
void collect(query& from, std::vector<query*>& into);

void collect(from_item& from, std::vector<query*>& into) {
  for (query& one : from.subquery) collect(one, into);
  for (expr& one : from.function) collect(one, into);
  for (from_item& side : from.sides) collect(side, into);
  for (expr& one : from.on) collect(one, into);
}

void collect(expr& from, std::vector<query*>& into) {
  for (expr& part : from.parts) collect(part, into);
  for (query& one : from.queries) collect(one, into);
}

void collect(query& from, std::vector<query*>& into) {
  into.push_back(&from);
  for (named_query& one : from.with) collect(one.body, into);
  for (query& one : from.branches) collect(one, into);
  for (target& one : from.targets) collect(one.value, into);
  for (from_item& one : from.from) collect(one, into);
  for (auto* list : {&from.where, &from.keys, &from.having, &from.order}) {
    for (expr& one : *list) collect(one, into);
  }
}

std::vector<query*> nodes(query& of) {
  std::vector<query*> result;
  collect(of, result);
  return result;
}

void collect(expr& from, std::vector<expr*>& into) {
  into.push_back(&from);
  for (expr& part : from.parts) collect(part, into);
}

void collect(from_item& from, std::vector<expr*>& into) {
  for (from_item& side : from.sides) collect(side, into);
  for (expr& one : from.on) collect(one, into);
}

/// The expressions of one SELECT, without those of its subqueries.
std::vector<expr*> expressions(query& of) {
  std::vector<expr*> result;
  for (target& one : of.targets) collect(one.value, result);
  for (auto* list : {&of.where, &of.keys, &of.having, &of.order}) {
    for (expr& one : *list) collect(one, result);
  }
  for (from_item& one : of.from) collect(one, result);
  return result;
}

void collect(from_item& from, std::vector<from_item*>& into) {
  into.push_back(&from);
  for (from_item& side : from.sides) collect(side, into);
}

std::vector<from_item*> items(query& of) {
  std::vector<from_item*> result;
  for (from_item& one : of.from) collect(one, result);
  return result;
}

// --- Taking an alias away, with all that mentions it.

bool mentions(const std::string& sql, const std::string& alias) {
  const std::string prefix = alias + ".";
  for (std::size_t at = sql.find(prefix); at != std::string::npos; at = sql.find(prefix, at + 1)) {
    const auto before = static_cast<unsigned char>(at == 0 ? ' ' : sql[at - 1]);
    if (std::isalnum(before) == 0 && before != '_') return true;
  }
  return false;
}

void aliases_of(const from_item& of, std::vector<std::string>& into) {
  if (of.sides.empty()) into.push_back(of.alias);
  for (const from_item& side : of.sides) aliases_of(side, into);
}

void forget_in(from_item& of, const std::string& alias) {
  std::erase_if(of.on, [&](const expr& one) { return mentions(to_sql(one), alias); });
  for (from_item& side : of.sides) forget_in(side, alias);
}

void forget(query& of, const from_item& gone) {
  std::vector<std::string> aliases;
  aliases_of(gone, aliases);
  for (const std::string& alias : aliases) {
    const auto names_it = [&](const expr& one) { return mentions(to_sql(one), alias); };
    std::erase_if(of.targets, [&](const target& one) { return names_it(one.value); });
    for (auto* list : {&of.where, &of.keys, &of.having, &of.order}) std::erase_if(*list, names_it);
    for (from_item& one : of.from) forget_in(one, alias);
  }
  if (of.targets.empty()) {
    of.targets.push_back({.name = "c0", .value = {.form = "1", .type = value_type::integer}});
  }
}

void keep_side(query& of, std::size_t item, std::size_t side) {
  from_item& join = *items(of)[item];
  const from_item gone = join.sides[1 - side];
  from_item kept = join.sides[side];
  kept.lateral = false;
  join = std::move(kept);
  forget(of, gone);
}

// --- The edits.

/// Removes output `number`: of a set operation, in all its branches.
void remove_output(query& of, std::size_t number) {
  for (query& branch : of.branches) remove_output(branch, number);
  if (of.set_operation.empty() && of.targets.size() > 1 && number < of.targets.size()) {
    of.targets.erase(of.targets.begin() + static_cast<std::ptrdiff_t>(number));
  }
}

void remove_key(query& of, std::size_t number) {
  const std::string gone = to_sql(of.keys[number]);
  of.keys.erase(of.keys.begin() + static_cast<std::ptrdiff_t>(number));
  if (of.targets.size() > 1) {
    std::erase_if(of.targets, [&](const target& one) { return to_sql(one.value) == gone; });
  }
}

template <class Member>
void add_removals(std::vector<edit>& to, const query& of, Member member) {
  for (std::size_t i = 0; i < (of.*member).size(); ++i) {
    to.emplace_back([member, i](query& q) {
      (q.*member).erase((q.*member).begin() + static_cast<std::ptrdiff_t>(i));
    });
  }
}

void add_join_edits(std::vector<edit>& to, query& of) {
  const std::vector<from_item*> all = items(of);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i]->sides.empty()) continue;
    for (const std::size_t side : {0U, 1U}) {
      to.emplace_back([i, side](query& q) { keep_side(q, i, side); });
    }
    if (all[i]->join != "JOIN" && all[i]->join != "CROSS JOIN") {
      to.emplace_back([i](query& q) { items(q)[i]->join = "JOIN"; });
    }
    for (std::size_t c = 0; all[i]->on.size() > 1 && c < all[i]->on.size(); ++c) {
      to.emplace_back([i, c](query& q) {
        auto& on = items(q)[i]->on;
        on.erase(on.begin() + static_cast<std::ptrdiff_t>(c));
      });
    }
  }
}

void add_expression_edits(std::vector<edit>& to, query& of) {
  for (std::size_t i = 0; i < of.targets.size(); ++i) {
    if (of.targets[i].value.parts.empty() && of.targets[i].value.queries.empty()) continue;
    to.emplace_back(
        [i](query& q) { q.targets[i].value = {.form = "1", .type = value_type::integer}; });
  }
  const std::vector<expr*> all = expressions(of);
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t part = 0; part < all[i]->parts.size(); ++part) {
      if (all[i]->parts[part].type != all[i]->type) continue;
      to.emplace_back([i, part](query& q) {
        expr& whole = *expressions(q)[i];
        expr kept = whole.parts[part];
        whole = std::move(kept);
      });
    }
  }
}

void add_clause_edits(std::vector<edit>& to, const query& of) {
  if (of.limit >= 0) to.emplace_back([](query& q) { q.limit = -1, q.offset = 0; });
  if (of.offset > 0) to.emplace_back([](query& q) { q.offset = 0; });
  if (of.distinct) to.emplace_back([](query& q) { q.distinct = false; });
  if (of.distinct_on > 0) to.emplace_back([](query& q) { q.distinct_on = 0; });
  if (of.group > grouping::plain) to.emplace_back([](query& q) { q.group = grouping::plain; });
  for (std::size_t i = 0; i < of.from.size() && of.from.size() > 1; ++i) {
    to.emplace_back([i](query& q) {
      const from_item gone = q.from[i];
      q.from.erase(q.from.begin() + static_cast<std::ptrdiff_t>(i));
      forget(q, gone);
    });
  }
  add_removals(to, of, &query::having);
  add_removals(to, of, &query::where);
  add_removals(to, of, &query::order);
  add_removals(to, of, &query::with);
  for (std::size_t i = 0; i < of.keys.size(); ++i) {
    to.emplace_back([i](query& q) { remove_key(q, i); });
  }
  for (std::size_t i = 0; i < output_names(of).size(); ++i) {
    to.emplace_back([i](query& q) { remove_output(q, i); });
  }
}

std::vector<edit> edits(query& of) {
  std::vector<edit> result;
  for (std::size_t i = 0; i < of.branches.size(); ++i) {
    result.emplace_back([i](query& q) {
      query branch = q.branches[i];
      branch.with.insert(branch.with.begin(), q.with.begin(), q.with.end());
      q = std::move(branch);
    });
  }
  add_join_edits(result, of);
  add_clause_edits(result, of);
  add_expression_edits(result, of);
  return result;
}

}  // namespace

std::vector<query> shrinks(const query& of) {
  std::vector<query> result;
  const std::string before = to_sql(of);
  query original = of;
  const std::vector<query*> all = nodes(original);
  // A subquery in the place of the whole is the greatest step.
  for (std::size_t i = 1; i < all.size(); ++i) result.push_back(*all[i]);
  for (std::size_t node = 0; node < all.size(); ++node) {
    for (const edit& change : edits(*all[node])) {
      query smaller = of;
      change(*nodes(smaller)[node]);
      if (smaller.targets.empty() && smaller.set_operation.empty()) continue;
      if (to_sql(smaller) != before) result.push_back(std::move(smaller));
    }
  }
  return result;
}

}  // namespace matview::trial
