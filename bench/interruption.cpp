#include "interruption.hpp"

#include <csignal>
#include <initializer_list>

namespace matview::bench {

namespace {

volatile std::sig_atomic_t caught = 0;

}  // namespace

void mark_interruptions() {
  struct sigaction action = {};
  action.sa_handler = [](int signal) { caught = signal; };
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
}

void throw_if_interrupted() {
  if (caught != 0) throw interrupted{caught};
}

}  // namespace matview::bench
