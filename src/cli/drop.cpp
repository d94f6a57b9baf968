#include "views/drop.hpp"

#include "cli/command.hpp"
#include <matview/views.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

struct drop_arguments {
  std::vector<std::string> names;
  bool must_exist = false;
  bool cascade = false;
  timeout_options timeouts;
};

asio::awaitable<void> drop_one(const std::string& name, const drop_options& options, table& into) {
  const bool there = co_await views::drop_if_there(std::nullopt, name, options);
  const std::string result = there ? "dropped" : "was not there";
  into.add({name, result}, {{"view", name}, {"dropped", there}}, {name, result});
}

exit_code drop(const drop_arguments& given, const context& with) {
  const drop_options options{
      .database = with.options.database,
      .if_exists = !given.must_exist,
      .cascade = given.cascade,
      .statement_timeout = optional_interval(given.timeouts.statement_timeout),
      .lock_timeout = optional_interval(given.timeouts.lock_timeout),
      .log = with.screen.log()};
  const auto act = [&](const std::string& name, table& into) {
    return drop_one(name, options, into);
  };
  return for_each_name(with, given.names, {.doing = "dropping", .act = act},
                       table({{"VIEW"}, {"RESULT"}}));
}

}  // namespace

command add_drop(CLI::App& app) {
  const auto given = std::make_shared<drop_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("drop", "Drop views");
  parser->add_option("NAME", given->names, "The views, in this order: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  parser->add_flag("--must-exist", given->must_exist, "Fail for a view that is not there");
  parser->add_flag("--cascade", given->cascade, "Drop what depends on the view, too");
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return drop(*given, with); }};
}

}  // namespace matview::cli
