#include "fleet/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace longrun::fleet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

const char kWhole[] = R"(apiVersion: longrun.dev/v1
kind: Run
metadata: {name: first-run, labels: {team: research}}
spec:
  ranks: 4
  elastic: {min: 2}
  spares: 1
  resources: {accelerators: 2, type: h100, cpu: 500m, memory: 2Gi}
  topology: {within: rack, spares: other-rack}
  command: [longrun-worker, train, --config, gpt.yaml]
  env: {OMP_NUM_THREADS: 1, FLAG: true}
  workingFolder: /data
  image: registry.example/worker:1
  priority: high
  sites: [own-hall, cloud-east]
  checkpoint: {every: 100 steps}
  expect: {duration: 2h}
  recovery: {failuresWithoutProgress: 3, silentAfter: 2s, hungAfter: 1m, grace: 5s}
)";

const char kHead[] = "apiVersion: longrun.dev/v1\nkind: Run\nmetadata: {name: x}\n";

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<RunSpec> spec = ParseManifest(text, "job.yaml");
  return spec.ok() ? "" : std::string(spec.status().message());
}

// With `line` among the fields of an otherwise right spec.
std::string ErrorWith(const std::string& line) {
  return ErrorOf(absl::StrCat(kHead, "spec:\n  command: [a]\n  ", line, "\n"));
}

TEST(ParseManifestTest, ReadsEveryField) {
  const absl::StatusOr<RunSpec> spec = ParseManifest(kWhole, "job.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name, RunId("first-run"));
  EXPECT_THAT(spec->labels, ElementsAre(Pair("team", "research")));
  EXPECT_EQ(spec->ranks, 4);
  EXPECT_EQ(spec->elastic_min, 2);
  EXPECT_EQ(spec->spares, 1);
  EXPECT_EQ(spec->resources, (Resources{2, "h100", 500, int64_t{2} << 30}));
  EXPECT_EQ(spec->within, "rack");
  EXPECT_EQ(spec->spares_where, "other-rack");
  EXPECT_THAT(spec->command, ElementsAre("longrun-worker", "train", "--config", "gpt.yaml"));
  EXPECT_THAT(spec->env, ElementsAre(Pair("FLAG", "true"), Pair("OMP_NUM_THREADS", "1")));
  EXPECT_EQ(spec->working_folder, "/data");
  EXPECT_EQ(spec->image, "registry.example/worker:1");
  EXPECT_EQ(spec->priority, Priority::kHigh);
  EXPECT_THAT(spec->sites, ElementsAre(SiteId("own-hall"), SiteId("cloud-east")));
  EXPECT_FALSE(spec->checkpoint.automatic);
  EXPECT_EQ(spec->checkpoint.every_steps, 100);
  EXPECT_EQ(spec->expected, Duration::Hours(2));
  EXPECT_EQ(spec->failures_without_progress, 3);
  EXPECT_EQ(spec->silent_after, Duration::Seconds(2));
  EXPECT_EQ(spec->hung_after, Duration::Minutes(1));
  EXPECT_EQ(spec->grace, Duration::Seconds(5));
}

TEST(ParseManifestTest, FillsInDefaults) {
  const absl::StatusOr<RunSpec> spec =
      ParseManifest(absl::StrCat(kHead, "spec: {command: [a]}\n"), "job.yaml");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->ranks, 1);
  EXPECT_EQ(spec->elastic_min, 0);
  EXPECT_EQ(spec->spares, 0);
  EXPECT_EQ(spec->resources, Resources{});
  EXPECT_EQ(spec->priority, Priority::kNormal);
  EXPECT_TRUE(spec->checkpoint.automatic);
  EXPECT_EQ(spec->expected, Duration{});
  EXPECT_EQ(spec->hung_after, Duration{});
  EXPECT_EQ(spec->silent_after, Duration::Seconds(3));
}

TEST(ParseManifestTest, CheckpointsEveryStepsOrTime) {
  const auto every = [](const std::string& text) {
    return ParseManifest(
        absl::StrCat(kHead, "spec: {command: [a], checkpoint: {every: ", text, "}}\n"), "j");
  };
  EXPECT_TRUE(every("auto")->checkpoint.automatic);
  EXPECT_EQ(every("1 step")->checkpoint.every_steps, 1);
  EXPECT_EQ(every("10m")->checkpoint.every, Duration::Minutes(10));
  for (const char* bad : {"0 steps", "-5 steps", "100", "often", "steps", "5 apples", "1us",
                          "99999999999999999999 steps", "[1]"}) {
    EXPECT_THAT(ErrorWith(absl::StrCat("checkpoint: {every: ", bad, "}")),
                StartsWith("job.yaml:6: spec.checkpoint.every: "))
        << bad;
  }
}

TEST(ParseManifestTest, HeadIsChecked) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("holds nothing"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr("a map (key: value) is right"));
  EXPECT_THAT(ErrorOf("just words"), HasSubstr("a map (key: value) is right"));
  EXPECT_THAT(ErrorOf(kHead), HasSubstr("spec: is missing"));
  EXPECT_THAT(ErrorOf("spec: {command: [a]}\n"),
              AllOf(HasSubstr("apiVersion: is missing"), HasSubstr("kind: is missing"),
                    HasSubstr("metadata.name: is missing")));
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(kWhole, {{"/v1", "/v2"}})),
              HasSubstr("job.yaml:1: apiVersion: longrun.dev/v2 is none of longrun.dev/v1"));
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(kWhole, {{"kind: Run", "kind: Rum"}})),
              HasSubstr("did you mean \"Run\"?"));
}

TEST(ParseManifestTest, NamesAreDnsLabels) {
  for (const char* bad : {"-a", "a-", "A", "a_b", "a.b", "../etc", "a/b", "\"a b\"", "é"}) {
    EXPECT_THAT(ErrorOf(absl::StrReplaceAll(kWhole, {{"first-run", bad}})),
                HasSubstr("job.yaml:3: metadata.name: "))
        << bad;
  }
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(kWhole, {{"first-run", std::string(64, 'a')}})),
              HasSubstr("is no name of a run"));
  EXPECT_EQ(ErrorOf(absl::StrReplaceAll(kWhole, {{"first-run", std::string(63, 'a')}})), "");
  EXPECT_THAT(ErrorOf(absl::StrReplaceAll(kWhole, {{"first-run", "17"}})),
              HasSubstr("reads as a number"));
}

TEST(ParseManifestTest, RefusesImpossibleNumbers) {
  EXPECT_EQ(ErrorWith("ranks: -1"),
            "job.yaml:6: spec.ranks: -1 is out of range; 1 to 1000000 is right");
  for (const char* bad : {"ranks: 0",
                          "ranks: 1000001",
                          "ranks: 1e3",
                          "ranks: 4.5",
                          "ranks: four",
                          "ranks: [4]",
                          "ranks: \"4\"",
                          "ranks: 999999999999999999999",
                          "spares: -1",
                          "elastic: {min: 0}",
                          "elastic: {min: 2}",
                          "elastic: {}",
                          "elastic: 3",
                          "resources: {accelerators: -1}",
                          "resources: {accelerators: 5000}",
                          "resources: {cpu: 0}",
                          "resources: {cpu: -1}",
                          "resources: {cpu: 1000000000}",
                          "resources: {memory: 512}",
                          "resources: {memory: -1Gi}",
                          "resources: {memory: 99999Pi}",
                          "resources: 4",
                          "expect: {duration: 5}",
                          "expect: {duration: 0s}",
                          "expect: {duration: 400000000h}",
                          "recovery: {silentAfter: 0s}",
                          "recovery: {failuresWithoutProgress: 0}",
                          "recovery: {grace: -1s}",
                          "recovery: {hungAfter: 1us}",
                          "priority: urgent",
                          "topology: {spares: near}",
                          "topology: {within: \"a b\"}",
                          "sites: [\"no such\"]",
                          "sites: own",
                          "workingFolder: 3",
                          "env: {1A: x}",
                          "env: [A]",
                          "env: {\"A=B\": x}"}) {
    EXPECT_THAT(ErrorWith(bad), StartsWith("job.yaml:6: spec.")) << bad;
  }
  EXPECT_EQ(ErrorWith("ranks: 1000000"), "");
  EXPECT_EQ(ErrorWith("resources: {accelerators: 0}"), "");
  EXPECT_EQ(ErrorWith("recovery: {grace: 0s}"), "");
}

TEST(ParseManifestTest, CommandIsAListOfTexts) {
  const auto with = [](const std::string& command) {
    return ErrorOf(absl::StrCat(kHead, "spec:\n  ranks: 1\n", command, "\n"));
  };
  EXPECT_EQ(with(""),
            "job.yaml:4: spec.command: is missing; a list is right, for example "
            "[python3, train.py]");
  EXPECT_THAT(with("  command: []"), HasSubstr("spec.command: is empty"));
  EXPECT_THAT(with("  command: [\"\"]"), HasSubstr("spec.command: is empty"));
  EXPECT_THAT(with("  command: sleep 5"), HasSubstr("a list of texts is right"));
  EXPECT_THAT(with("  command: [sleep, 5]"),
              HasSubstr("spec.command[1]: 5 reads as a number where text is right; write \"5\""));
}

TEST(ParseManifestTest, UnknownFieldsGetASuggestion) {
  EXPECT_EQ(ErrorWith("rnaks: 4"),
            "job.yaml:6: spec.rnaks: unknown field; did you mean \"ranks\"?");
  EXPECT_THAT(ErrorWith("working_folder: /x"), HasSubstr("did you mean \"workingFolder\"?"));
  EXPECT_THAT(ErrorWith("resources: {gpus: 4}"),
              HasSubstr("spec.resources.gpus: unknown field; known here: accelerators, cpu"));
  EXPECT_THAT(ErrorOf(absl::StrCat(kWhole, "stats: 1\n")), HasSubstr("stats: unknown field"));
}

TEST(ParseManifestTest, TellsEveryMistakeAtOnce) {
  const std::string error = ErrorOf(
      "apiVersion: longrun.dev/v1\nkind: Run\nmetadata: {name: Bad}\nspec:\n  ranks: -4\n"
      "  spares: many\n  comand: [a]\n");
  EXPECT_THAT(error, AllOf(HasSubstr("job.yaml:3: metadata.name"), HasSubstr("job.yaml:5: "),
                           HasSubstr("job.yaml:6: spec.spares"), HasSubstr("job.yaml:7: "),
                           HasSubstr("did you mean \"command\"?")));
}

TEST(ParseManifestTest, RefusesHostileFiles) {
  EXPECT_THAT(ErrorOf(absl::StrCat(kHead, "spec: {command: [a], command: [b]}\n")),
              HasSubstr("job.yaml:4: \"command\" stands here a second time"));
  EXPECT_THAT(ErrorOf(absl::StrCat(kHead, "spec: &a {command: [*a, *a]}\n")), HasSubstr("anchors"));
  EXPECT_THAT(ErrorOf(std::string(100'000'000, 'x')), HasSubstr("at most 1048576"));
  EXPECT_THAT(ErrorOf(std::string(1000, '\0')), HasSubstr("binary file"));
  std::string many = absl::StrCat(kHead, "spec:\n  command: [a]\n  env:\n");
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&many, "    V", i, ": x\n");
  EXPECT_THAT(ErrorOf(many), HasSubstr("more than 1024 variables"));
}

}  // namespace
}  // namespace longrun::fleet
