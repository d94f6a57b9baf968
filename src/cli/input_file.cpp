#include "cli/input_file.hpp"

#include <matview/error.hpp>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace matview::cli {

// Not std::ifstream: libstdc++ throws its own words for a folder, and drops the reason.
std::string read_file(const std::string& name, std::string_view holds) {
  const bool standard = name == "-";
  const auto refuse = [&] {
    throw error(
        errc::invalid_option,
        fmt::format("{} cannot be read: {}", standard ? "standard input" : name,
                    std::strerror(errno)),
        {.hint = fmt::format("--file takes a file that holds {}, or - for standard input", holds)});
  };
  const auto close = [standard](std::FILE* file) { return standard ? 0 : std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(
      standard ? stdin : std::fopen(name.c_str(), "re"), close);
  if (!file) refuse();
  std::string text;
  std::array<char, 65536> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    text.append(buffer.data(), got);
  }
  if (std::ferror(file.get()) != 0) refuse();
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  return text;
}

}  // namespace matview::cli
