#pragma once

#include <rapidcheck.h>

#include <string>
#include <vector>

namespace matview::test {

/// Texts made of `words` and of what usually breaks out of a quoted place: quotes, comments,
/// semicolons, dollar quotes, line breaks, NUL, UTF-8 whole and broken, and arbitrary bytes.
[[nodiscard]] rc::Gen<std::string> hostile_text(std::vector<std::string> words);

/// `good` with one to three of these pieces put in anywhere.
[[nodiscard]] rc::Gen<std::string> tampered(rc::Gen<std::string> good);

}  // namespace matview::test
