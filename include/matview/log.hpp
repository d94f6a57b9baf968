#pragma once

#include <functional>
#include <string_view>

namespace matview {

/// How much a line matters.
enum class log_level {
  debug,    ///< Each statement that is sent, each connection made.
  info,     ///< What the server says in passing: its NOTICEs.
  warning,  ///< Something the operator should look at: the server's WARNINGs, a lost connection.
};

/// Receives log lines: a level and one line of text, without a line break and without secrets.
///
/// It is called on the thread that runs the operation, must not throw, and must not call back into
/// the operation. An empty function drops everything.
using log_sink = std::function<void(log_level, std::string_view)>;

}  // namespace matview
