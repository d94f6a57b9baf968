#pragma once

namespace matview::cli {

/// The program: reads the arguments, runs the command, returns the exit code. Never throws.
int run(int argc, char** argv) noexcept;

}  // namespace matview::cli
