"""Explainers by name."""

from sparsight.registration import Registry

EXPLAINERS = Registry(
    "explainer",
    {
        "grad_cam": "sparsight.explain.cam:GradCam",
        "grad_cam_pp": "sparsight.explain.cam:GradCamPlusPlus",
        "xgrad_cam": "sparsight.explain.cam:XGradCam",
        "hires_cam": "sparsight.explain.cam:HiResCam",
        "layer_cam": "sparsight.explain.cam:LayerCam",
        "eigen_cam": "sparsight.explain.cam:EigenCam",
        "score_cam": "sparsight.explain.cam:ScoreCam",
        "ablation_cam": "sparsight.explain.cam:AblationCam",
        "full_grad": "sparsight.explain.gradient:FullGrad",
        "guided_grad_cam": "sparsight.explain.gradient:GuidedGradCam",
        "mean_activation": "sparsight.explain.controls:MeanActivation",
        "saliency": "sparsight.explain.gradient:Saliency",
        "integrated_gradients": "sparsight.explain.gradient:IntegratedGradients",
        "input_x_gradient": "sparsight.explain.gradient:InputXGradient",
        "smooth_grad": "sparsight.explain.gradient:SmoothGrad",
        "guided_backprop": "sparsight.explain.gradient:GuidedBackprop",
        "deep_lift": "sparsight.explain.deep_lift:DeepLift",
        "gradient_shap": "sparsight.explain.gradient:GradientShap",
        "occlusion": "sparsight.explain.perturbation:Occlusion",
        "lime": "sparsight.explain.surrogates:Lime",
        "kernel_shap": "sparsight.explain.surrogates:KernelShap",
        "lrp": "sparsight.explain.lrp:Lrp",
        "attention_rollout": "sparsight.explain.transformers:AttentionRollout",
        "gradient_attention": "sparsight.explain.transformers:GradientAttention",
        "legrad": "sparsight.explain.transformers:LeGrad",
        "attn_lrp": "sparsight.explain.attn_lrp:AttnLrp",
        "random": "sparsight.explain.controls:RandomMap",
        "edges": "sparsight.explain.controls:Edges",
        "centre": "sparsight.explain.controls:CentrePrior",
        "input": "sparsight.explain.controls:InputImage",
    },
    adapters={
        "captum": "sparsight.explain.captum_adapter:CaptumExplainer",
        "grad_cam": "sparsight.explain.grad_cam_adapter:GradCamLibraryExplainer",
    },
)
