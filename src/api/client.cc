#include "api/client.h"

#include <grpc/support/time.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "api/status_code.h"

namespace longrun::api {
namespace {

// A controller commits to its disk before it answers; a disk may stall.
constexpr Duration kPatience = Duration::Seconds(30);

// For one try of Watch, which its caller repeats.
constexpr Duration kConnectPatience = Duration::Millis(500);

gpr_timespec In(Duration patience) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_micros(patience.us, GPR_TIMESPAN));
}

void SetDeadline(grpc::ClientContext& context, Duration patience) {
  context.set_deadline(In(patience));
}

}  // namespace

Client::Client(const std::string& socket) {
  grpc::ChannelArguments arguments;
  // A controller that was restarted is found again within a tenth of a second.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // In spite of its name, what an attempt may take: on a busy machine a handshake is no matter of
  // milliseconds, and one given up begins from nothing.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  channel_ = grpc::CreateCustomChannel(absl::StrCat("unix:", socket),
                                       grpc::InsecureChannelCredentials(), arguments);
  stub_ = v1::Runs::NewStub(channel_);
}

absl::StatusOr<v1::SubmitReply> Client::Submit(const v1::SubmitRequest& request) {
  grpc::ClientContext context;
  SetDeadline(context, kPatience);
  v1::SubmitReply reply;
  LR_RETURN_IF_ERROR(FromGrpc(stub_->Submit(&context, request, &reply)));
  return reply;
}

absl::StatusOr<v1::StatusReply> Client::Status(const std::string& run, Duration patience) {
  grpc::ClientContext context;
  SetDeadline(context, patience);
  context.set_wait_for_ready(true);
  v1::StatusRequest request;
  request.set_run(run);
  v1::StatusReply reply;
  LR_RETURN_IF_ERROR(FromGrpc(stub_->Status(&context, request, &reply)));
  return reply;
}

absl::Status Client::Cancel(const std::string& run, const std::string& reason) {
  grpc::ClientContext context;
  SetDeadline(context, kPatience);
  v1::CancelRequest request;
  request.set_run(run);
  request.set_reason(reason);
  v1::CancelReply reply;
  return FromGrpc(stub_->Cancel(&context, request, &reply));
}

absl::Status Client::Fault(const v1::FaultRequest& request) {
  grpc::ClientContext context;
  SetDeadline(context, kPatience);
  v1::FaultReply reply;
  const absl::Status status = FromGrpc(stub_->Fault(&context, request, &reply));
  // A controller that was asked to die does not live to answer.
  if (request.kind() == "kill-controller" && absl::IsUnavailable(status)) return absl::OkStatus();
  return status;
}

absl::Status Client::Shutdown(bool kill) {
  grpc::ClientContext context;
  SetDeadline(context, Duration::Seconds(5));
  v1::ShutdownRequest request;
  request.set_kill(kill);
  v1::ShutdownReply reply;
  return FromGrpc(stub_->Shutdown(&context, request, &reply));
}

absl::Status Client::Watch(const std::string& run,
                           const std::function<bool(const v1::RunView&)>& on_view) {
  // A call that fails at once drives no connection forward, since nothing else polls: calling again
  // and again would find the channel broken for ever.
  if (!channel_->WaitForConnected(In(kConnectPatience))) {
    return absl::UnavailableError("the controller does not answer");
  }
  grpc::ClientContext context;
  v1::WatchRequest request;
  request.set_run(run);
  const auto reader = stub_->Watch(&context, request);
  v1::RunView view;
  while (reader->Read(&view)) {
    if (on_view(view)) continue;
    context.TryCancel();
    reader->Finish();
    return absl::OkStatus();
  }
  return FromGrpc(reader->Finish());
}

}  // namespace longrun::api
