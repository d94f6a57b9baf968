#include "cli/manual.hpp"

#include "cli/description.hpp"
#include "cli/version.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

namespace matview::cli {

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  // A line that begins with a dot or an apostrophe would be a request.
  if (out.starts_with('.') || out.starts_with('\'')) out.insert(0, "\\&");
  return out;
}

std::string options(const std::vector<option_description>& all) {
  std::string out;
  for (const option_description& option : all) {
    const std::string names = escaped(fmt::format("{}", fmt::join(option.names, ", ")));
    out += fmt::format(".TP\n\\fB{}\\fR{}\n{}\n", names,
                       option.value.empty() ? "" : " \\fI" + escaped(option.value) + "\\fR",
                       escaped(option.text));
  }
  return out;
}

std::string command_section(const command_description& command, const std::string& before) {
  const std::string path = before + ' ' + command.name;
  std::string out = fmt::format(".SS \"{}", path);
  for (const option_description& positional : command.positionals) out += " " + positional.value;
  if (!command.commands.empty()) out += " COMMAND";
  out += fmt::format(" [OPTIONS]\"\n{}.\n", escaped(command.text));
  for (const option_description& positional : command.positionals) {
    out += fmt::format(".TP\n\\fI{}\\fR\n{}\n", positional.value, escaped(positional.text));
  }
  out += options(command.options);
  for (const command_description& behind : command.commands) out += command_section(behind, path);
  return out;
}

constexpr std::string_view rest = R"(.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The database refused or failed.
.TP
.B 2
Wrong usage, a bad name, interval or query; nothing was done.
.TP
.B 3
No connection.
.TP
.B 4
Done, but with something to look at: some of several items failed, \fBverify\fR found a difference
(also one that \fB\-\-repair\fR has mended), \fBdoctor\fR an error, \fBgraph\fR a cycle.
.TP
.B 130
Interrupted. The running statement was cancelled in the server.
.SH ENVIRONMENT
.TP
.B MATVIEW_URL
The database \fIdefault\fR when there is no configuration.
.TP
.B MATVIEW_PG_BINDIR
Where the programs of PostgreSQL are that a private server is started with.
.TP
.B XDG_CONFIG_HOME
The user's config folder, instead of \fI~/.config\fR.
.TP
.B NO_COLOR
No colours.
.PP
Without a configuration and without \fBMATVIEW_URL\fR, libpq's own environment counts: \fBPGHOST\fR,
\fBPGDATABASE\fR, \fBPGSERVICE\fR and so on.
.SH FILES
.TP
.I matview.toml
The configuration, in the current folder or else in \fI$XDG_CONFIG_HOME/matview/\fR
(\fI~/.config/matview/\fR):
.PP
.nf
    [databases]
    default = "postgresql://app@db.example/app"
    local = "embedded:/var/lib/matview"
.fi
.SH EXAMPLES
.nf
matview create sales.daily \-\-file daily.sql \-\-unique\-index day
matview refresh sales.daily \-\-concurrently \-\-lock\-timeout "5 seconds"
matview list \-\-schema sales \-\-format json
matview drop sales.daily
matview explain \-\-sql "SELECT customer, sum(amount) AS total FROM orders GROUP BY customer"
matview create totals \-\-kind incremental \-\-file totals.sql
matview refresh \-\-all \-\-atomic
matview verify totals \-\-repair
matview schedule set nightly \-\-cron "30 3 * * *" \-\-tz Europe/Berlin \-\-refresh sales.daily
matview worker \-\-queues default \-\-log json
matview \-\-url embedded:/tmp/play list
.fi
.SH SEE ALSO
.BR psql (1)
)";

}  // namespace

std::string manual_page(const CLI::App& app) {
  const program_description program = describe_program(app);
  std::string out = fmt::format(
      ".TH MATVIEW 1 \"\" \"matview {0}\" \"User Commands\"\n"
      ".SH NAME\nmatview \\- {1}\n"
      ".SH SYNOPSIS\n.B matview\n[GLOBAL OPTIONS] \\fICOMMAND\\fR [ARGUMENTS]\n"
      ".SH DESCRIPTION\n"
      "Creates, refreshes, lists and drops materialized views of PostgreSQL 14 to 18, on any "
      "server and without an extension. Results go to stdout, everything else to stderr.\n"
      ".PP\n"
      "An incremental view is read like another, and its refresh applies what has changed in its "
      "tables. \\fBcreate \\-\\-kind incremental\\fR and \\fBconvert\\fR make one, \\fBexplain\\fR "
      "says whether a query can be one, \\fBverify\\fR compares it with its query.\n"
      ".SH COMMANDS\n",
      version, escaped(app.get_description()));
  for (const command_description& command : program.commands) {
    out += command_section(command, app.get_name());
  }
  return out + ".SH GLOBAL OPTIONS\nBefore or behind the command.\n" + options(program.options) +
         std::string(rest);
}

}  // namespace matview::cli
