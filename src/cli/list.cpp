#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include <matview/views.hpp>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

struct list_arguments {
  std::string schema = "public";
};

void add_view(table& to, const matview_info& view) {
  const std::string populated = view.populated ? "yes" : "no";
  const std::string concurrently = view.can_refresh_concurrently ? "yes" : "no";
  boost::json::value bytes;
  if (view.bytes) bytes = *view.bytes;
  const std::string kind = view.kind == view_kind::incremental ? "incremental" : "native";
  to.add({view.name, kind, view.owner, populated, concurrently,
          view.bytes ? pretty_bytes(*view.bytes) : "locked", view.comment},
         {{"name", view.name},
          {"schema", view.schema},
          {"kind", kind},
          {"owner", view.owner},
          {"populated", view.populated},
          {"can_refresh_concurrently", view.can_refresh_concurrently},
          {"bytes", bytes},
          {"comment", view.comment}},
         {view.name, view.schema, view.owner, populated, concurrently,
          view.bytes ? fmt::format("{}", *view.bytes) : "", view.comment, kind});
}

asio::awaitable<void> list_into(const list_options& options, table& into, bool& any) {
  const std::vector<matview_info> views = co_await adescribe_matviews(options);
  for (const matview_info& view : views) add_view(into, view);
  any = !views.empty();
}

exit_code list(const list_arguments& given, const context& with) {
  const list_options options{
      .database = with.options.database, .schema = given.schema, .log = with.screen.log()};
  table found({{"NAME"},
               {"KIND"},
               {"OWNER"},
               {"POPULATED"},
               {"CONCURRENTLY"},
               {"SIZE", true},
               {"COMMENT"}});
  bool any = false;
  run_interruptibly(with.screen, "listing", list_into(options, found, any));
  write_result(found.text(with.options.format));
  if (!any) with.screen.note(fmt::format("no materialized views in schema {}", given.schema));
  return exit_code::done;
}

}  // namespace

command add_list(CLI::App& app) {
  const auto given = std::make_shared<list_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("list", "List the views of a schema, native and incremental");
  parser->add_option("--schema", given->schema, "The schema, exactly as the server has it")
      ->type_name("NAME")
      ->capture_default_str();
  return {parser, [given](const context& with) { return list(*given, with); }};
}

}  // namespace matview::cli
