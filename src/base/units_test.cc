#include "base/units.h"

#include <gtest/gtest.h>

namespace longrun {
namespace {

TEST(ParseBytesTest, ReadsKubernetesQuantities) {
  EXPECT_EQ(ParseBytes("0").value(), 0);
  EXPECT_EQ(ParseBytes("1024").value(), 1024);
  EXPECT_EQ(ParseBytes("64Ki").value(), 65536);
  EXPECT_EQ(ParseBytes("1.5G").value(), 1'500'000'000);
  EXPECT_EQ(ParseBytes("2Gi").value(), int64_t{2} << 30);
  for (const char* bad : {"", "Gi", "-1", "1 Gi", "1GB", "1e3", "1..5", "99999999999999Pi"}) {
    EXPECT_FALSE(ParseBytes(bad).ok()) << bad;
  }
}

TEST(ParseMilliCpuTest, ReadsCoresAndThousandths) {
  EXPECT_EQ(ParseMilliCpu("1").value(), 1000);
  EXPECT_EQ(ParseMilliCpu("500m").value(), 500);
  EXPECT_EQ(ParseMilliCpu("1.5").value(), 1500);
  for (const char* bad : {"", "m", "-1", "1k", "two"}) EXPECT_FALSE(ParseMilliCpu(bad).ok()) << bad;
}

TEST(ParseDurationTest, ReadsSumsOfUnits) {
  EXPECT_EQ(ParseDuration("250ms").value(), Duration::Millis(250));
  EXPECT_EQ(ParseDuration("90s").value(), Duration::Seconds(90));
  EXPECT_EQ(ParseDuration("2h30m").value(), Duration::Minutes(150));
  EXPECT_EQ(ParseDuration("1d").value(), Duration::Hours(24));
  EXPECT_EQ(ParseDuration("0.5s").value(), Duration::Millis(500));
  for (const char* bad : {"", "5", "s", "-1s", "1h30", "1 h", "1y", "9999999999999d"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(FormatTest, WritesForPeople) {
  EXPECT_EQ(FormatBytes(12), "12 B");
  EXPECT_EQ(FormatBytes(36e6), "36.0 MB");
  EXPECT_EQ(FormatBytes(999'960), "1.0 MB");
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(12345), "12,345");
  EXPECT_EQ(FormatCount(-1234567), "-1,234,567");
}

TEST(UnitsTest, QuantitiesAreRead) {
  EXPECT_EQ(ParseQuantity("70B").value(), 70e9);
  EXPECT_EQ(ParseQuantity("1.4T").value(), 1.4e12);
  EXPECT_EQ(ParseQuantity("5.76e23").value(), 5.76e23);
  EXPECT_EQ(ParseQuantity("20k").value(), 20e3);
  EXPECT_EQ(ParseQuantity("3G").value(), 3e9);
  EXPECT_EQ(ParseQuantity("2e3M").value(), 2e9);
  EXPECT_EQ(ParseQuantity(".5").value(), 0.5);
  for (const char* wrong : {"", "B", "70 B", "seventy", "0", "-3", "1e999", "nan", "inf", "0x10",
                            "1..2", "7BB", "1e5x"}) {
    EXPECT_FALSE(ParseQuantity(wrong).ok()) << wrong;
  }
}

TEST(UnitsTest, QuantitiesAreShown) {
  EXPECT_EQ(FormatQuantity(405.8e9), "405.8 B");
  EXPECT_EQ(FormatQuantity(1.4e12), "1.40 T");
  EXPECT_EQ(FormatQuantity(12345), "12.35 k");
  EXPECT_EQ(FormatQuantity(950), "950");
  EXPECT_EQ(FormatQuantity(0), "0");
  EXPECT_EQ(FormatQuantity(2.3e25), "2.3e+25");
}

}  // namespace
}  // namespace longrun
