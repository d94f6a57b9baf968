#pragma once

namespace matview::bench {

/// Thrown where a batch would begin after SIGINT, SIGTERM or SIGHUP, so that the server and its
/// folder are removed on the way out.
struct interrupted {
  int signal;
};

/// From now on those signals only leave a mark; a second one ends the program at once.
void mark_interruptions();

void throw_if_interrupted();

}  // namespace matview::bench
