// How many threads a rank computes with: in libtorch and in the BLAS below it.
#pragma once

#include <cstdint>

namespace longrun::model {

// `wanted`, or with 0 the cores this process may use over LOCAL_WORLD_SIZE.
int64_t ThreadsFor(int64_t wanted);

// For the whole process. OpenBLAS built on its own threads does not hear of libtorch's setting and
// would start one for each core of the machine in every rank; while they wait for each other they
// take the cores from the other ranks (measured: 50,000 context switches a step, a third of it).
void SetThreads(int64_t count);

}  // namespace longrun::model
