#include "support/hostile_text.hpp"

#include <numeric>
#include <utility>

namespace matview::test {

namespace {

const std::vector<std::string>& breakers() {
  static const std::vector<std::string> pieces{"\"",
                                               "\"\"",
                                               "'",
                                               "''",
                                               ";",
                                               "--",
                                               "/*",
                                               "*/",
                                               "\n",
                                               "\r\n",
                                               "\t",
                                               " ",
                                               "\f",
                                               "\v",
                                               std::string(1, '\0'),
                                               "\\",
                                               "\\'",
                                               "$$",
                                               "$1",
                                               "$a$",
                                               "U&\"",
                                               "E'",
                                               "(",
                                               ")",
                                               ".",
                                               ",",
                                               "\xC3\xA9",
                                               "\xEF\xBC\x82",
                                               "\xE2\x80\x99",
                                               "\xC2\xA0",
                                               "\xEF\xBB\xBF",
                                               "\xC3",
                                               "\xFF",
                                               "\x80",
                                               "; DROP TABLE t; --",
                                               "\x7F",
                                               "%",
                                               "\x1B[0m"};
  return pieces;
}

rc::Gen<std::string> piece() {
  return rc::gen::weightedOneOf<std::string>(
      {{4, rc::gen::elementOf(breakers())},
       {1, rc::gen::container<std::string>(1, rc::gen::arbitrary<char>())}});
}

std::string joined(const std::vector<std::string>& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), std::string());
}

}  // namespace

rc::Gen<std::string> hostile_text(std::vector<std::string> words) {
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::weightedOneOf<std::string>(
          {{3, rc::gen::elementOf(std::move(words))}, {2, piece()}})),
      joined);
}

rc::Gen<std::string> tampered(rc::Gen<std::string> good) {
  return rc::gen::apply(
      [](std::string text, const std::vector<std::pair<std::string, std::size_t>>& cuts) {
        for (const auto& [what, where] : cuts) text.insert(where % (text.size() + 1), what);
        return text;
      },
      std::move(good), rc::gen::mapcat(rc::gen::inRange<std::size_t>(1, 4), [](std::size_t count) {
        return rc::gen::container<std::vector<std::pair<std::string, std::size_t>>>(
            count, rc::gen::pair(piece(), rc::gen::inRange<std::size_t>(0, 1000)));
      }));
}

}  // namespace matview::test
