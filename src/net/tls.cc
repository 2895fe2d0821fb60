#include "net/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"

namespace longrun::net {

namespace ssl = boost::asio::ssl;

absl::StatusOr<std::unique_ptr<ssl::context>> ServerTls(const std::string& certificate_file,
                                                        const std::string& key_file) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                           ssl::context::no_sslv3 | ssl::context::no_tlsv1 |
                           ssl::context::no_tlsv1_1 | SSL_OP_CIPHER_SERVER_PREFERENCE |
                           SSL_OP_NO_RENEGOTIATION,
                       error);
  context->use_certificate_chain_file(certificate_file, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(certificate_file, ": is no PEM certificate: ", error.message()));
  }
  context->use_private_key_file(key_file, ssl::context::pem, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(key_file, ": is not the PEM private key of ",
                                                   certificate_file, ": ", error.message()));
  }
  SSL_CTX* const native = context->native_handle();
  if (SSL_CTX_check_private_key(native) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(key_file, ": is not the private key of ", certificate_file));
  }
  const X509* const certificate = SSL_CTX_get0_certificate(native);
  if (certificate != nullptr && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return absl::InvalidArgumentError(absl::StrCat(certificate_file, ": the certificate expired"));
  }
  return context;
}

}  // namespace longrun::net
