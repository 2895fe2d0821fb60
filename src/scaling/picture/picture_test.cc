#include "scaling/picture/picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_split.h"

namespace longrun::scaling {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Picture Simple() {
  Panel panel;
  panel.name = "line";
  panel.title = "it's one\nline";
  panel.x = {"compute", true, {}};
  panel.y = {"loss", true, {}};
  panel.series = {{Series::Look::kDots, "measured", {1e18, 1e20, 1e22}, {4, 3, NAN}, {}, {}},
                  {Series::Look::kBand, "band", {1e18, 1e22}, {2, 2.1}, {}, {2.2, 2.4}}};
  return {{panel}};
}

TEST(PictureTest, DataAndStyleStandInTheScript) {
  const std::string script = GnuplotScript(Simple(), {Canvas::Kind::kSvg, "out.svg"});
  EXPECT_THAT(script, HasSubstr("set terminal svg"));
  EXPECT_THAT(script, HasSubstr("set output 'out.svg'"));
  EXPECT_THAT(script, HasSubstr("1e+18 4 NaN NaN\n1e+20 3 NaN NaN\n1e+22 NaN NaN NaN\nEOD"));
  EXPECT_THAT(script, HasSubstr("set logscale x"));
  EXPECT_THAT(script, Not(HasSubstr("multiplot")));
  // Bands first, so that points are not hidden under them.
  EXPECT_LT(script.find("filledcurves"), script.find("with points"));
}

TEST(PictureTest, NothingGetsOutOfItsQuotes) {
  EXPECT_THAT(GnuplotScript(Simple(), {}), HasSubstr("set title 'it''s one line' noenhanced"));
}

TEST(PictureTest, ShortAxesOfLogarithmsHaveEvenTics) {
  const std::string script = GnuplotScript(Simple(), {});
  EXPECT_THAT(script, HasSubstr("set ytics (2, 2.5, 3, 3.5, 4)"));
  EXPECT_THAT(script, HasSubstr("'10^{18}' 1e18, '10^{19}' 1e19"));
}

TEST(PictureTest, SeveralPanelsMakeAGridButNotInATerminal) {
  Picture picture = Simple();
  picture.panels.push_back(picture.panels[0]);
  picture.panels.push_back(picture.panels[0]);
  EXPECT_THAT(GnuplotScript(picture, {}), HasSubstr("set multiplot layout 1,3"));
  const std::string text = GnuplotScript(picture, {Canvas::Kind::kText, "", 80});
  EXPECT_THAT(text, Not(HasSubstr("multiplot")));
  EXPECT_THAT(text, HasSubstr("set terminal dumb size 80,"));
  EXPECT_THAT(text, Not(HasSubstr("filledcurves")));
}

TEST(PictureTest, PanelsAreChosenByName) {
  Picture picture = Simple();
  picture.panels.push_back(picture.panels[0]);
  picture.panels[1].name = "residuals";
  std::string unknown;
  EXPECT_EQ(OnlyPanels(picture, {"residuals"}, &unknown).panels[0].name, "residuals");
  EXPECT_EQ(unknown, "");
  EXPECT_EQ(OnlyPanels(picture, {}, &unknown).panels.size(), 2u);
  OnlyPanels(picture, {"residual"}, &unknown);
  EXPECT_EQ(unknown, "residual");
}

TEST(PictureTest, APanelWithoutDataIsStillAScript) {
  Picture picture = Simple();
  picture.panels[0].series = {{Series::Look::kDots, "none", {}, {}, {}, {}}};
  EXPECT_THAT(GnuplotScript(picture, {}), HasSubstr("set xrange [0:1]"));
}

}  // namespace
}  // namespace longrun::scaling
