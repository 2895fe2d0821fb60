// TLS from PEM files; 1.2 and up.
#pragma once

#include <memory>
#include <string>
#include <utility>  // ahead of Asio, whose 1.74 uses std::exchange without it

#include <boost/asio/ssl.hpp>

#include "base/status.h"

namespace longrun::net {

// InvalidArgument names the file that is missing, no PEM, expired or does not belong to the other.
absl::StatusOr<std::unique_ptr<boost::asio::ssl::context>> ServerTls(
    const std::string& certificate_file, const std::string& key_file);

}  // namespace longrun::net
