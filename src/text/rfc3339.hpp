#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace matview::text {

/// A time as RFC 3339 writes it, `2026-11-22T07:16:30.5+01:00`; the seconds may be left out, and a
/// blank may stand for the T. What is finer than a microsecond is cut off; a leap second is the
/// first one of the next minute. Nothing for any other text, and without Z or an offset. Pure.
[[nodiscard]] std::optional<std::chrono::sys_time<std::chrono::microseconds>> parse_rfc3339(
    std::string_view text);

/// `2026-11-22T07:16:30Z`. The year has to have four digits. Pure.
[[nodiscard]] std::string to_rfc3339(std::chrono::sys_seconds instant);

/// `2026-11-22T08:16:30+01:00`: the same instant on a clock that is `offset` ahead of UTC. Offsets
/// are whole minutes in RFC 3339; another (all are of 1972 and before) is cut to minutes. Pure.
[[nodiscard]] std::string to_rfc3339(std::chrono::sys_seconds instant, std::chrono::seconds offset);

}  // namespace matview::text
