#include "cli_fixture.hpp"

#include <gtest/gtest.h>

namespace matview::test {
namespace {

constexpr const char* secret = "hunter2";

class CliSecret : public cli_test {
 protected:
  /// What a URL with the password does: never shows it.
  void expect_silence(const std::string& url) {
    for (const auto& arguments :
         std::vector<std::vector<std::string>>{{"list", "--verbose", "--url", url},
                                               {"--verbose", "--url=" + url, "refresh", "nope"}}) {
      const auto done = matview(arguments);
      EXPECT_FALSE(contains(done.out + done.err, secret)) << url << '\n' << done.out << done.err;
      EXPECT_FALSE(contains(done.out + done.err, "unter2")) << url << '\n' << done.err;
    }
    const auto from_environment = matview({"list", "--verbose"}, {.env = {{"MATVIEW_URL", url}}});
    EXPECT_FALSE(contains(from_environment.out + from_environment.err, secret)) << url;
  }
};

struct secret_row {
  std::string name;
  std::string url;
};
class CliSecretUrl : public CliSecret, public testing::WithParamInterface<secret_row> {};

INSTANTIATE_TEST_SUITE_P(
    Of, CliSecretUrl,
    testing::Values(
        secret_row{"Uri", "postgresql://u:hunter2@127.0.0.1:1/d"},
        secret_row{"UriParameter", "postgresql:///d?host=/nonexistent&password=hunter2"},
        secret_row{"KeyValue", "host=/nonexistent user=u password=hunter2"},
        secret_row{"KeyValueQuotedWithQuote", R"(host=/nonexistent password='x\'hunter2')"},
        secret_row{"KeyValueQuoted", "host=/nonexistent password = 'hunter2' dbname=d"},
        secret_row{"MalformedPort", "postgresql://u:hunter2@h:no:port/d"},
        secret_row{"MalformedEscape", "postgresql://u:hunter2%zz@h/d"},
        secret_row{"UnescapedSlash", "postgresql://u:hun/hunter2@h/d"},
        secret_row{"UnescapedAt", "postgresql://u:hun@hunter2@h/d"},
        secret_row{"UnescapedHash", "postgresql://u:a#hunter2@h/d"},
        secret_row{"UnclosedBracket", "postgresql://u:hunter2@[::1/d"},
        secret_row{"MalformedKeyValue", "hst=x password=hunter2"},
        secret_row{"UnclosedQuote", "password='hunter2 host=x"},
        secret_row{"AnotherBackend", "mysql://u:hunter2@h/d"},
        secret_row{"MissingSlash", "postgresql:/u:hunter2@h/d"},
        secret_row{"MissingScheme", "u:hunter2@h/d"},
        secret_row{"SslPassword", "host=/nonexistent sslpassword=hunter2"}),
    [](const auto& row) { return row.param.name; });

TEST_P(CliSecretUrl, IsNeverShown) {
  expect_silence(GetParam().url);
}

TEST_P(CliSecretUrl, IsNeverShownWhenTheCommandLineIsWrong) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"list", "--url", GetParam().url, "--frobnicate"},
                                             {"list", "--ulr", GetParam().url},
                                             {"list", "--ulr=" + GetParam().url},
                                             {"list", GetParam().url},
                                             {"list", "--database", GetParam().url},
                                             {"list", "--url", "x", GetParam().url},
                                             {"refresh", GetParam().url},
                                             {"list", "--format", GetParam().url},
                                             {GetParam().url, "list"}}) {
    const auto refused = matview(arguments);
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_FALSE(contains(refused.out + refused.err, secret)) << refused.out << refused.err;
  }
}

struct seen_row {
  std::string name;
  /// How the database's URL is given the password.
  std::vector<std::string> (*arguments)(const std::string& url);
};
class CliSecretArgument : public CliSecret, public testing::WithParamInterface<seen_row> {};

INSTANTIATE_TEST_SUITE_P(
    As, CliSecretArgument,
    testing::Values(
        seen_row{"Word",
                 [](const std::string& url) {
                   return std::vector<std::string>{"refresh", "v", "--url",
                                                   with_parameter(url, "password", secret)};
                 }},
        seen_row{"Equals",
                 [](const std::string& url) {
                   return std::vector<std::string>{
                       "--url=" + with_parameter(url, "password", secret), "refresh", "v"};
                 }},
        seen_row{"User",
                 [](const std::string& url) {
                   std::string in_authority = url;
                   in_authority.insert(std::string("postgresql://").size(), "postgres:hunter2@");
                   return std::vector<std::string>{"refresh", "v", "--url", in_authority};
                 }}),
    [](const auto& row) { return row.param.name; });

TEST_P(CliSecretArgument, IsNotInTheProcessListWhileItRuns) {
  create_gated_view("v");
  const session gate = close_gate();
  process refresh = start(GetParam().arguments(db.url()), {.env = {{"MATVIEW_URL", std::nullopt}}});
  ASSERT_TRUE(at_gate());
  const std::string line = read_file("/proc/" + std::to_string(refresh.id()) + "/cmdline");
  EXPECT_TRUE(contains(line, "refresh"));
  EXPECT_FALSE(contains(line, secret));
}

}  // namespace
}  // namespace matview::test
