#include "trial/views.hpp"

#include <utility>

namespace matview::trial {

namespace {

class maker final {
 public:
  maker(const runtime& under_trial, const std::string& url, connection& on,
        const std::string& prefix)
      : runtime_(under_trial), url_(url), on_(on), prefix_(prefix) {}

  made_views run(const view_under_trial& view) {
    for (const definition& one : view.underneath) {
      if (!is_good(one.body)) return std::move(result_);
      if (!one.materialized) {
        on_.execute("CREATE VIEW " + prefix_ + one.name + " AS " + to_sql(one.body));
      } else if (const auto made = create(one.name, one.body); !made) {
        return std::move(result_);
      } else if (!made->incremental) {
        create_natively(prefix_ + one.name, to_sql(one.body));
      }
    }
    if (is_good(view.body)) result_.of_the_view = create(view.name, view.body);
    return std::move(result_);
  }

 private:
  bool is_good(const query& body) {
    result_.queries = judge_query(on_, to_sql(body));
    return result_.queries == verdict::good;
  }

  std::optional<creation> create(const std::string& name, const query& body) {
    const std::string view = prefix_ + name;
    const std::string sql = to_sql(body);
    try {
      creation made = runtime_.create(url_, view, sql);
      if (made.incremental) {
        on_.execute("CREATE VIEW " + reference_of(view) + " AS " + sql);
        result_.incremental.push_back(view);
      }
      return made;
    } catch (const std::exception& thrown) {
      result_.failed = failure{.kind = "not created", .view = view, .details = thrown.what()};
      return std::nullopt;
    }
  }

  // Unless whoever has refused it has made it.
  void create_natively(const std::string& view, const std::string& sql) {
    if (on_.query_one("SELECT to_regclass('" + view + "')") != "NULL") return;
    on_.execute("CREATE MATERIALIZED VIEW " + view + " AS " + sql);
  }

  const runtime& runtime_;
  const std::string& url_;
  connection& on_;
  const std::string& prefix_;
  made_views result_;
};

}  // namespace

made_views make_views(const runtime& under_trial, const std::string& url, connection& on,
                      const view_under_trial& view, const std::string& prefix) {
  return maker(under_trial, url, on, prefix).run(view);
}

std::string program_text(const runtime& of, const std::string& url, const std::string& view) {
  if (!of.program || view.empty()) return {};
  try {
    connection on(url);
    return of.program(on, view);
  } catch (const std::exception& unknown) {
    return unknown.what();
  }
}

}  // namespace matview::trial
