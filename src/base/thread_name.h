// A thread's name, as `top -H`, perf and gdb show it.
#pragma once

#include <pthread.h>

namespace longrun {

// Names the thread that calls; at most 15 characters are shown.
inline void NameThread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

}  // namespace longrun
