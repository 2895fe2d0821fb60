// `longrun top`: what a server does now, what binds it, and what would help.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/blocked_signals.h"
#include "base/time.h"
#include "cli/declared.h"
#include "cli/exit_code.h"
#include "cli/serving/serving_figures.h"
#include "cli/terminal.h"
#include "net/http_client.h"

namespace longrun::cli {
namespace {

struct TopFlags {
  std::string server = "8000";
  std::string api_key;
  double interval_seconds = 2;
  bool once = false;
  bool json = false;
};

absl::StatusOr<net::Url> UrlOf(const std::string& server) {
  const bool is_port = server.find_first_not_of("0123456789") == std::string::npos;
  return net::ParseUrl(is_port ? absl::StrCat("http://127.0.0.1:", server) : server);
}

// A bare word may be meant as the name of a model or a run: it is read as that of a machine.
absl::Status NotReached(const std::string& server, const absl::Status& status) {
  const bool bare = server.find_first_of(".:/") == std::string::npos && server != "localhost" &&
                    server.find_first_not_of("0123456789") != std::string::npos;
  if (!bare) return status;
  return {status.code(), absl::StrCat(std::string(status.message()),
                                      "; the address or the port of a server is right, such as "
                                      "8000")};
}

// The page of one server, over a connection that is kept.
class Reader {
 public:
  Reader(const net::Url& url, const std::string& api_key) : client_(url, Options()), url_(url) {
    if (!api_key.empty()) headers_.emplace_back("Authorization", "Bearer " + api_key);
  }

  absl::StatusOr<MetricsPage> Read() {
    LR_ASSIGN_OR_RETURN(const net::Response response,
                        client_.Send("GET", "/metrics", headers_, ""));
    if (response.status != 200) {
      return absl::UnavailableError(
          absl::StrCat(url_.host, ":", url_.port, " answers /metrics with HTTP ", response.status,
                       response.status == 401 ? "; it wants a key: --api-key" : ""));
    }
    LR_ASSIGN_OR_RETURN(MetricsPage page, MetricsPage::Parse(response.body));
    if (!page.Has("vllm:num_requests_running")) {
      return absl::UnavailableError(
          absl::StrCat(url_.host, ":", url_.port,
                       " tells no vllm:num_requests_running; longrun top reads longrun serve "
                       "and vLLM"));
    }
    return page;
  }

 private:
  static net::ClientOptions Options() {
    net::ClientOptions options;
    options.read_seconds = 5;
    return options;
  }

  net::Client client_;
  net::Url url_;
  net::Headers headers_;
};

// Lines redrawn in place.
class Screen {
 public:
  explicit Screen(FILE* out) : out_(out), moves_(MovesCursor(out)), colour_(ShowsColour(out)) {}

  bool colour() const { return colour_; }
  size_t width() const {
    const std::optional<int> columns = moves_ ? WindowColumns(out_) : std::nullopt;
    return columns ? static_cast<size_t>(*columns) - 1 : 100;
  }
  // No more than the window shows: the cursor cannot go back to what has scrolled away.
  void Draw(std::vector<std::string> lines) {
    if (const auto rows = moves_ ? WindowRows(out_) : std::nullopt; rows && *rows > 1) {
      lines.resize(std::min(lines.size(), static_cast<size_t>(*rows) - 1));
    }
    // Written whole, so that nothing flickers.
    std::string frame;
    if (moves_ && rows_ > 0) absl::StrAppend(&frame, "\r\x1b[", rows_, "A\x1b[J");
    for (const std::string& line : lines) absl::StrAppend(&frame, line, "\n");
    if (!moves_) frame += "\n";
    rows_ = lines.size();
    std::fputs(frame.c_str(), out_);
    std::fflush(out_);
  }

 private:
  FILE* out_;
  const bool moves_;
  const bool colour_;
  size_t rows_ = 0;
};

int Top(const TopFlags& flags) {
  const absl::StatusOr<net::Url> url = UrlOf(flags.server);
  if (!url.ok()) {
    PrintError(url.status());
    return kUsage;
  }
  const BlockedSignals signals({SIGINT, SIGTERM});
  Reader reader(*url, flags.api_key);
  Screen screen(stdout);
  std::optional<MetricsPage> before;
  Stopwatch since;
  while (true) {
    absl::StatusOr<MetricsPage> page = reader.Read();
    const double seconds = since.seconds();
    since.Restart();
    if (!page.ok()) {
      // A server that has been seen may come back; one that never was is told of at once.
      if (!before || flags.once) {
        PrintError(NotReached(flags.server, page.status()));
        return kUnavailable;
      }
      if (flags.json) {
        PrintError(page.status());
      } else {
        screen.Draw({std::string(page.status().message())});
      }
    } else {
      // The first reading of a counter says no rate, so that one reading makes no view.
      if (before) {
        const ServingFigures figures = FiguresBetween(&*before, *page, seconds);
        if (flags.json) {
          std::fputs(ServingJson(figures).c_str(), stdout);
          std::fflush(stdout);
        } else {
          screen.Draw(ServingPanel(figures, screen.width(), screen.colour()));
        }
        if (flags.once) return kOk;
      }
      before = *std::move(page);
    }
    if (signals.Wait(Duration::Seconds(flags.interval_seconds)) != 0) return kOk;
  }
}

}  // namespace

void DeclareTop(const Declare& declare) {
  Declared& command =
      declare("top", "Watch a server: queue, KV cache, batch, latency, and what binds it now",
              "  longrun top                            the server on port 8000 of this machine\n"
              "  longrun top 8080 --interval 5\n"
              "  longrun top http://gpu-1:8000 --once --json\n\n"
              "Reads /metrics of longrun serve, and of vLLM as far as its metrics go. Rates and "
              "percentiles\n"
              "are those of the last interval. Ctrl-C ends it.");
  const auto flags = std::make_shared<TopFlags>();
  command.act = [flags] { return Top(*flags); };
  CLI::App* app = command.app;
  app->add_option("SERVER", flags->server, "Its address, or its port on this machine (8000)")
      ->type_name("URL|PORT");
  app->add_option("--interval", flags->interval_seconds, "Seconds between two readings (2)")
      ->check(CLI::Range(0.1, 3600.0));
  app->add_option("--api-key", flags->api_key, "Sent as bearer token");
  app->add_flag("--once", flags->once, "Print the figures of one interval and end");
  app->add_flag("--json", flags->json, "One JSON object a line");
}

}  // namespace longrun::cli
