#include "base/log.h"

#include "spdlog/sinks/rotating_file_sink.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace longrun {

void SetUpLog(const std::string& program, const std::string& where, const std::string& level) {
  std::shared_ptr<spdlog::logger> logger;
  if (where.empty()) {
    logger = std::make_shared<spdlog::logger>(program,
                                              std::make_shared<spdlog::sinks::stderr_sink_mt>());
  } else {
    logger = std::make_shared<spdlog::logger>(
        program, std::make_shared<spdlog::sinks::rotating_file_sink_mt>(where, 10 << 20, 3));
  }
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %L %n[%P] %v");
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace longrun
