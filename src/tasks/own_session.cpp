#include "tasks/own_session.hpp"

#include "pg/answer_limit.hpp"

namespace matview::tasks {

asio::awaitable<pg::result> own_session::ask(const pg::named_statement& statement,
                                             const std::vector<pg::parameter>& values) {
  const pg::answer_limit limit(on_, executor_, answer_time_);
  co_return co_await on_.execute(statement, values);
}

asio::awaitable<void> own_session::tell(std::string sql) {
  const pg::answer_limit limit(on_, executor_, answer_time_);
  co_await on_.run(std::move(sql));
}

}  // namespace matview::tasks
