// For tests and benchmarks: worker processes under an agent of a few lines. It speaks the real
// protocol over real sockets, starts real longrun-workers and kills them with real signals; what it
// lacks is a controller: the test says who is in the gang.
//
// Every method belongs to the test's thread; a thread of its own reads the sockets. A member that
// does something a test did not ask for (exits, falls silent) shows as a wait that runs into its
// limit.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace longrun::training {

class TestFleet {
 public:
  struct Member {
    pid_t pid = -1;
    int fd = -1;
    std::string endpoint;  // empty: it has not said hello
    int64_t joined = -1;   // incarnation
    int64_t joined_step = -1;
    std::string source;
    int64_t step = -1;  // last commit
    int64_t broken = -1;
    int64_t waiting = -1;  // incarnation in which it said that it waits for its peers
    bool done = false;
    bool exited = false;
    int status = 0;  // as waitpid gives it
  };

  // `worker`: the program. `config`: YAML of the run; it is written to the run's folder.
  TestFleet(std::string worker, std::string folder, const std::string& config);
  ~TestFleet();  // kills what is left

  // Starts a process; returns its member number at once.
  int64_t Start();
  // The next incarnation: these members, in rank order. Waits until all of them have said hello.
  void SetGang(const std::vector<int64_t>& members);
  void Signal(int64_t member, int signal);
  // SIGKILL, and waits for the end.
  void Kill(int64_t member);
  void Tell(int64_t member, const std::string& line);

  // Waits until `ready` (asked with the lock held, after each line that came) or the limit; false
  // then.
  bool Wait(const std::function<bool()>& ready, double limit_seconds = 60);
  bool WaitHello(int64_t member, double limit_seconds = 60);
  bool WaitExited(int64_t member, int code, double limit_seconds = 60);
  // It has said that it waits for its peers.
  bool WaitWaiting(int64_t member, double limit_seconds = 60);
  // All members of the present gang have committed `step`, or a later one, in the present
  // incarnation.
  bool WaitCommitted(int64_t step, double limit_seconds = 60);
  // A checkpoint has been published.
  bool WaitCheckpoint(double limit_seconds = 60);
  // All members of the present gang have exited with code 0.
  bool WaitFinished(double limit_seconds = 60);

  Member member(int64_t number);
  const std::vector<int64_t>& gang() const { return gang_; }
  int64_t incarnation() const { return incarnation_; }
  const std::string& folder() const { return folder_; }
  // Loss of each step as it was committed. Ranks that disagree make `disagreements` grow.
  std::map<int64_t, double> losses();
  int64_t disagreements();
  std::vector<std::string> says();
  std::map<std::string, double> metrics();  // the last of each name
  std::set<int64_t> checkpoints();          // steps published
  // Seconds from the last SetGang to the first commit of its incarnation by all of the gang.
  double first_commit_seconds();

 private:
  void Serve();
  void Hear(int64_t* member, int fd, std::string_view line);
  void Reap();

  const std::string worker_, folder_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::thread thread_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  bool closing_ = false;
  int64_t next_member_ = 1;
  int64_t incarnation_ = 0;
  double gang_set_ = 0, first_commit_ = 0;
  std::vector<int64_t> gang_;
  std::map<int64_t, Member> members_;
  std::map<int64_t, double> losses_;
  int64_t disagreements_ = 0;
  std::vector<std::string> says_;
  std::map<std::string, double> metrics_;
  std::set<int64_t> checkpoints_;
};

}  // namespace longrun::training
