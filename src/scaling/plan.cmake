# Plans: which model, on what, for how long, at what cost.
find_package(nlohmann_json REQUIRED)
longrun_library(scaling_plan
  SOURCES plan.cc plan_cluster.cc plan_constraints.cc plan_execution.cc plan_failures.cc
          plan_json.cc plan_layout.cc plan_memory.cc plan_model.cc plan_optimum.cc plan_solve.cc
          published.cc
  DEPS longrun_scaling nlohmann_json::nlohmann_json)
longrun_test(scaling_plan_test
  SOURCES plan_cluster_test.cc plan_failures_test.cc plan_layout_test.cc plan_memory_test.cc
          plan_model_test.cc plan_optimum_test.cc plan_test.cc published_test.cc
  DEPS longrun_scaling_plan)
