#include "trial/reducer.hpp"

#include <string>

namespace matview::trial {

void reducer::shrink(query& of) const {
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (query& candidate : shrinks(of)) {
      std::swap(of, candidate);
      if (still_fails_()) {
        smaller = true;
        break;
      }
      std::swap(of, candidate);
    }
  }
}

void reducer::shrink(view_under_trial& view) const {
  shrink(view.underneath);
  shrink(view.body);
  for (definition& one : view.underneath) shrink(one.body);
}

void reducer::drop_tables(schema& of) const {
  for (std::size_t i = of.tables.size(); i > 0; --i) {
    const schema whole = of;
    const std::string name = whole.tables[i - 1].name;
    const auto mentions = [&](const std::string& sql) {
      return sql.find(' ' + name + ' ') != std::string::npos ||
             sql.find(' ' + name + '_') != std::string::npos;
    };
    of.tables.erase(of.tables.begin() + static_cast<std::ptrdiff_t>(i - 1));
    std::erase_if(of.ddl, mentions);
    std::erase_if(of.rows, mentions);
    if (!still_fails_()) of = whole;
  }
}

}  // namespace matview::trial
