#include "serving/prompt/built_in_templates.h"

namespace longrun::serving {
namespace {

constexpr char kPlain[] = R"({%- for message in messages -%}
{{ message.role | capitalize }}: {{ message.content | trim }}{{ "\n" }}
{%- endfor -%}
{%- if add_generation_prompt -%}Assistant:{%- endif -%})";

// Tools as Hermes 2 Pro and Qwen 2.5 were trained on them: their JSON between <tools> tags in the
// system's message, a call as JSON between <tool_call> tags, results as the user's between
// <tool_response> tags, those of neighbours in one turn.
constexpr char kChatml[] = R"({%- set start = 0 -%}
{%- if tools -%}
  {{- "<|im_start|>system\n" -}}
  {%- if messages[0].role == "system" -%}
    {{- messages[0].content + "\n\n" -}}
    {%- set start = 1 -%}
  {%- endif -%}
  {{- "You can call functions. Between the <tools> tags stands one on each line, as JSON:\n" -}}
  {{- "<tools>\n" -}}
  {%- for tool in tools -%}{{ (tool | tojson) + "\n" }}{%- endfor -%}
  {{- "</tools>\nTo call a function, write its name and its arguments as JSON between " -}}
  {{- "<tool_call> tags, each call between tags of its own:\n<tool_call>\n" -}}
  {{- '{"name": "the name", "arguments": {"an argument": "its value"}}' -}}
  {{- "\n</tool_call><|im_end|>\n" -}}
{%- endif -%}
{%- for message in messages[start:] -%}
  {%- if message.role == "tool" -%}
    {%- if loop.first or loop.previtem.role != "tool" -%}{{ "<|im_start|>user" }}{%- endif -%}
    {{- "\n<tool_response>\n" + message.content + "\n</tool_response>" -}}
    {%- if loop.last or loop.nextitem.role != "tool" -%}{{ "<|im_end|>\n" }}{%- endif -%}
  {%- else -%}
    {{- "<|im_start|>" + message.role + "\n" + message.content -}}
    {%- for call in message.tool_calls -%}
      {%- if message.content or not loop.first -%}{{ "\n" }}{%- endif -%}
      {{- '<tool_call>\n{"name": ' + (call.function.name | tojson) + ', "arguments": ' -}}
      {{- (call.function.arguments | tojson) + "}\n</tool_call>" -}}
    {%- endfor -%}
    {{- "<|im_end|>\n" -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|im_start|>assistant\n" }}{%- endif -%})";

// Tools as Llama 3.1 was trained on them: a call is the JSON alone, results come from "ipython".
constexpr char kLlama3[] = R"({{- bos_token or "<|begin_of_text|>" -}}
{%- set start = 0 -%}
{%- if tools -%}
  {{- "<|start_header_id|>system<|end_header_id|>\n\n" -}}
  {%- if messages[0].role == "system" -%}
    {{- (messages[0].content | trim) + "\n\n" -}}
    {%- set start = 1 -%}
  {%- endif -%}
  {{- "You can call these functions:\n\n" -}}
  {%- for tool in tools -%}{{ (tool | tojson(indent=4)) + "\n\n" }}{%- endfor -%}
  {{- "To call one, answer with JSON and nothing else, in this form: " -}}
  {{- '{"name": "the name", "parameters": {"an argument": "its value"}}<|eot_id|>' -}}
{%- endif -%}
{%- for message in messages[start:] -%}
  {%- set role = "ipython" if message.role == "tool" else message.role -%}
  {{- "<|start_header_id|>" + role + "<|end_header_id|>\n\n" -}}
  {{- message.content | trim -}}
  {%- for call in message.tool_calls -%}
    {%- if message.content or not loop.first -%}{{ "; " if not loop.first else "\n" }}{%- endif -%}
    {{- '{"name": ' + (call.function.name | tojson) + ', "parameters": ' -}}
    {{- (call.function.arguments | tojson) + "}" -}}
  {%- endfor -%}
  {{- "<|eot_id|>" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ "<|start_header_id|>assistant<|end_header_id|>\n\n" }}
{%- endif -%})";

constexpr char kLlama2[] =
    R"({%- set bos = bos_token or "<s>" -%}{%- set eos = eos_token or "</s>" -%}
{%- set ns = namespace(system="") -%}
{%- for message in messages -%}
  {%- if message.role == "system" -%}
    {%- set ns.system = "<<SYS>>\n" + message.content + "\n<</SYS>>\n\n" -%}
  {%- elif message.role == "user" -%}
    {{- bos + "[INST] " + ns.system + (message.content | trim) + " [/INST]" -}}
    {%- set ns.system = "" -%}
  {%- else -%}
    {{- " " + (message.content | trim) + " " + eos -}}
  {%- endif -%}
{%- endfor -%})";

}  // namespace

const std::vector<BuiltInTemplate>& BuiltInTemplates() {
  static const auto* all = new std::vector<BuiltInTemplate>{
      {"plain", {"\nUser:", "\nSystem:"}, kPlain},
      {"chatml", {"<|im_end|>"}, kChatml},
      {"llama3", {"<|eot_id|>"}, kLlama3},
      {"llama2", {}, kLlama2},
  };
  return *all;
}

}  // namespace longrun::serving
