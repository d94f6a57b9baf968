#include "pg/run_sync.hpp"

namespace matview::pg {

namespace {

struct loop_of_thread {
  asio::io_context context{1};
  bool busy = false;
};

loop_of_thread& mine() {
  thread_local loop_of_thread loop;
  return loop;
}

}  // namespace

private_loop::private_loop() {
  loop_of_thread& shared = mine();
  if (shared.busy) {
    context_ = &own_.emplace(1);
    return;
  }
  shared.busy = true;
  shared.context.restart();
  context_ = &shared.context;
}

private_loop::~private_loop() {
  if (!own_) mine().busy = false;
}

}  // namespace matview::pg
