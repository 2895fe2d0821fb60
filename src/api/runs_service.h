// proto/api.proto's Runs, on top of control::Service. Called on gRPC's threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>

#include "control/service.h"
#include "proto/api.grpc.pb.h"

namespace longrun::api {

class RunsService : public v1::Runs::Service {
 public:
  // `control` must outlive it.
  RunsService(control::Service* control, std::string version, bool embedded)
      : control_(control), version_(std::move(version)), embedded_(embedded) {}

  grpc::Status Submit(grpc::ServerContext*, const v1::SubmitRequest*, v1::SubmitReply*) override;
  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest*, v1::StatusReply*) override;
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::RunView>*) override;
  grpc::Status Cancel(grpc::ServerContext*, const v1::CancelRequest*, v1::CancelReply*) override;
  grpc::Status Fault(grpc::ServerContext*, const v1::FaultRequest*, v1::FaultReply*) override;
  grpc::Status Shutdown(grpc::ServerContext*, const v1::ShutdownRequest*,
                        v1::ShutdownReply*) override;

  void Stop();  // ends watches
  bool shutdown_requested() const { return shutdown_requested_; }
  bool kill_requested() const { return kill_requested_; }

 private:
  void WaitForNextView();

  control::Service* control_;
  const std::string version_;
  const bool embedded_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::atomic<bool> stopping_{false};  // set under mutex_
  std::atomic<bool> shutdown_requested_{false};
  std::atomic<bool> kill_requested_{false};
};

}  // namespace longrun::api
